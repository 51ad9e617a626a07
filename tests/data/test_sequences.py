"""Sequence files as rows: what all parts have, and a typed error for what does not fit."""

import os
from pathlib import Path

import numpy as np
import pytest

from mm_emotion.data.corpus import open_corpus
from mm_emotion.data.sequences import load_sequences
from mm_emotion.data.splits import resolve_split, validate_split
from mm_emotion.errors import CorpusError, EmotionError

MMMO = Path(os.environ.get("MM_EMOTION_DATA", "")) / "mmmo"


def arrays(**changes):
    random = np.random.default_rng(0)
    found = {}
    for part, count in (("train", 4), ("valid", 2), ("test", 3)):
        found[f"audio_{part}"] = random.normal(size=(count, 5, 2)).astype(np.float32)
        found[f"video_{part}"] = random.normal(size=(count, 5, 3)).astype(np.float32)
        found[f"y_{part}"] = np.arange(count, dtype=np.float32)
    found["text_test"] = np.ones((3, 5, 4), np.float32)  # in one part alone
    return {name: value for name, value in {**found, **changes}.items() if value is not None}


def test_rows_of_all_parts(tmp_path):
    content = arrays()
    np.savez(tmp_path / "mmmo.npz", **content)
    rows = open_corpus("mmmo", "rating", tmp_path, ["audio", "visual"])
    assert len(rows) == 9 and "text" not in rows.column_names
    train = rows.filter(lambda row: row["split"] == "train")
    greatest = np.abs(content["audio_train"]).max((0, 1))
    np.testing.assert_allclose(np.array(train["audio"][:]), content["audio_train"] / greatest, rtol=1e-6)
    test = rows.filter(lambda row: row["split"] == "test")
    np.testing.assert_allclose(np.array(test["audio"][:]), content["audio_test"] / greatest, rtol=1e-6)
    assert train["affect"][:] == [[0.0], [1.0], [2.0], [3.0]]
    split = resolve_split(rows, "published")
    assert [len(part) for part in (split.train, split.validation, split.test)] == [4, 2, 3]
    assert not split.speaker_independent  # nobody knows who speaks
    validate_split(rows, split)
    with pytest.raises(CorpusError, match="text"):
        open_corpus("mmmo", "rating", tmp_path, ["text"])


@pytest.mark.parametrize(
    "changes",
    [
        {"y_test": None},
        {"y_test": np.zeros(3, np.int64)},
        {"y_test": np.array([0, 1, np.nan], np.float32)},
        {"y_test": np.zeros(5, np.float32)},
        {"audio_valid": None, "video_valid": None},
        {"audio_valid": np.zeros((2, 5), np.float32)},
        {"audio_valid": np.zeros((2, 5, 7), np.float32)},
        {"audio_valid": np.full((2, 5, 2), -np.inf, np.float32)},
        {"audio_train": np.zeros((0, 5, 2), np.float32)},
    ],
)
def test_what_does_not_fit_is_a_typed_error(tmp_path, changes):
    np.savez(tmp_path / "mmmo.npz", **arrays(**changes))
    with pytest.raises(EmotionError):
        load_sequences(tmp_path, corpus="mmmo", label_set="rating")


def test_other_files_and_names(tmp_path):
    path = tmp_path / "mmmo.npz"
    with pytest.raises(CorpusError, match="no such file"):
        load_sequences(path, corpus="mmmo", label_set="rating")
    with pytest.raises(CorpusError, match="mmmo rating"):
        load_sequences(path, corpus="mmmo", label_set="arousal")
    np.savez(path, **arrays())
    whole = path.read_bytes()
    for content in (b"", b"PK", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(CorpusError):
            load_sequences(path, corpus="mmmo", label_set="rating")


@pytest.mark.corpus
@pytest.mark.skipif(not MMMO.is_dir(), reason="MM_EMOTION_DATA holds no mmmo")
def test_the_real_file():
    rows = open_corpus("mmmo", "rating", features=["audio", "visual"])
    assert len(rows) == 340 and "text" not in rows.column_names
    assert np.shape(rows[0]["audio"]) == (20, 74) and np.shape(rows[0]["visual"]) == (20, 36)
