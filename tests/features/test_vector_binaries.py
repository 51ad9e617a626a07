import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from mm_emotion.errors import FeatureError
from mm_emotion.features.vector_files import read_vectors


def letters_hash(part: str) -> int:
    """FNV-1a of the bytes, each taken as a signed number, in 32 bits."""
    value = 2166136261
    for byte in part.encode():
        value ^= (byte - 256 if byte > 127 else byte) % 2**32
        value = value * 16777619 % 2**32
    return value


def model(words: list[str], table: np.ndarray, buckets: int, shortest: int, longest: int) -> bytes:
    """A fastText model, with one label behind its words."""
    width = table.shape[1]
    content = struct.pack("<14i", 793712314, 12, width, 5, 1, 1, 5, 1, 2, 2, buckets, shortest, longest, 100)
    content += struct.pack("<d", 1e-4) + struct.pack("<3i2q", len(words) + 1, len(words), 1, 1000, -1)
    for word, kind in [*((word, 0) for word in words), ("__label__x", 1)]:
        content += word.encode() + b"\0" + struct.pack("<qb", 3, kind)
    return content + struct.pack("<?2q", False, *table.shape) + table.astype("<f4").tobytes()


TABLE = np.random.default_rng(0).standard_normal((3 + 50, 4)).astype(np.float32)
WORDS = ["lake", "bé", "cold"]


def parts(word: str) -> list[int]:
    marked = f"<{word}>"
    found = [marked[i : i + n] for i in range(len(marked)) for n in (2, 3) if i + n <= len(marked)]
    return [3 + letters_hash(part) % 50 for part in found]


@pytest.fixture
def path(tmp_path) -> Path:
    (tmp_path / "model.bin").write_bytes(model(WORDS, TABLE, 50, 2, 3))
    return tmp_path / "model.bin"


def test_a_vector_is_the_mean_of_word_and_parts(path):
    found, _ = read_vectors(path, {"cold", "bé", "boat", "__label__x"})
    for word, own in (("cold", [2]), ("bé", [1]), ("boat", []), ("__label__x", [])):
        np.testing.assert_allclose(found[word], TABLE[own + parts(word)].mean(axis=0), rtol=1e-5)


def test_without_parts_only_listed_words_have_vectors(tmp_path):
    (tmp_path / "model.bin").write_bytes(model(WORDS, TABLE[:3], 0, 0, 0))
    found, _ = read_vectors(tmp_path / "model.bin", {"cold", "boat"})
    assert found.keys() == {"cold"}
    np.testing.assert_array_equal(found["cold"], TABLE[2])


def test_the_list_of_words_is_read_in_blocks(path, monkeypatch):
    whole, _ = read_vectors(path, set(WORDS))
    monkeypatch.setattr("mm_emotion.features.vector_binaries._BLOCK", 7)
    again, _ = read_vectors(path, set(WORDS))
    assert {word: row.tolist() for word, row in again.items()} == {word: row.tolist() for word, row in whole.items()}


@pytest.mark.parametrize("length", [10, 60, 80, 100, 200])
def test_a_model_that_is_cut_short_is_refused(path, length):
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(FeatureError, match=r"model\.bin'.*intact fastText model"):
        read_vectors(path, {"cold"})


def test_other_models_are_refused(path):
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + struct.pack("<i", 99) + whole[8:])
    with pytest.raises(FeatureError, match="version 99"):
        read_vectors(path, {"cold"})
    flag = len(whole) - TABLE.nbytes - 17
    path.write_bytes(whole[:flag] + b"\1" + whole[flag + 1 :])
    with pytest.raises(FeatureError, match="quantised"):
        read_vectors(path, {"cold"})
    path.write_bytes(whole[: flag + 1] + struct.pack("<2q", 9, 4) + whole[flag + 17 :])
    with pytest.raises(FeatureError, match="3 words and 50 parts"):
        read_vectors(path, {"cold"})
    path.write_bytes(gzip.compress(whole))
    with pytest.raises(FeatureError, match="unpack it first"):
        read_vectors(path, {"cold"})
    path.write_bytes(whole[: flag + 17] + np.float32([[np.inf] * 4, [-np.inf] * 4, [np.nan] * 4] * 18)[:53].tobytes())
    wanted = {f"w{number}" for number in range(200)}
    with pytest.raises(FeatureError, match=r"word 'w.*finite"):
        read_vectors(path, wanted)
