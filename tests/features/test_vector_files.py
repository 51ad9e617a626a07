import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mm_emotion.errors import FeatureError
from mm_emotion.features.vector_files import Skipped, read_vectors

WORDS = {f"word{number}": np.float32([number, -0.5, number / 7, 1e-3]) for number in range(400)} | {
    "naïve": np.float32([1, 2, 3, 4])
}
WANTED = {"word0", "word7", "word399", "naïve", "absent"}


def text(header: bool, end: str = "\n", separator: str = " ") -> bytes:
    lines = [f"{len(WORDS)} 4"] if header else []
    lines += [separator.join([word, *map(str, row.tolist())]) for word, row in WORDS.items()]
    return (end.join(lines) + end).encode()


def binary(line_ends: bool) -> bytes:
    body = b"".join(word.encode() + b" " + row.tobytes() + b"\n" * line_ends for word, row in WORDS.items())
    return f"{len(WORDS)} 4\n".encode() + body


def plain(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def packed_gzip(path: Path, content: bytes) -> Path:
    path.write_bytes(gzip.compress(content))
    return path


def packed_zip(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/vectors", content)
    return path


@pytest.mark.parametrize("write", [plain, packed_gzip, packed_zip])
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(text(False), id="glove"),
        pytest.param(text(True), id="word2vec text"),
        pytest.param(text(True, end="\r\n"), id="line ends of another system"),
        pytest.param(text(False, separator="\t"), id="tabs"),
        pytest.param(text(True, end=" \n"), id="fasttext text"),
        pytest.param(binary(True), id="word2vec binary"),
        pytest.param(binary(False), id="word2vec binary without line ends"),
    ],
)
def test_every_format_gives_the_same_vectors(tmp_path, write, content, monkeypatch):
    monkeypatch.setattr("mm_emotion.features.vector_binaries._BLOCK", 1000)
    monkeypatch.setattr("mm_emotion.features.vector_binaries._LONGEST", 50)
    found, skipped = read_vectors(write(tmp_path / "vectors", content), WANTED)
    assert found.keys() == WANTED - {"absent"}
    for word, vector in found.items():
        assert vector.dtype == np.float32
        np.testing.assert_allclose(vector, WORDS[word], rtol=1e-6)
    assert skipped == Skipped()


def test_the_last_line_needs_no_end_and_words_may_hold_spaces(tmp_path):
    path = plain(tmp_path / "v.txt", b"a 1 2 3\n. . . 4 5 6\nat name@x.org 7 8 9\n\nb 1 1 1")
    found, _ = read_vectors(path, {"a", ". . .", "at name@x.org", "b"})
    assert {word: row.tolist() for word, row in found.items()} == {
        "a": [1, 2, 3],
        ". . .": [4, 5, 6],
        "at name@x.org": [7, 8, 9],
        "b": [1, 1, 1],
    }


@pytest.mark.parametrize(
    ("line", "kind", "message"),
    [
        (b"bad 1 2", "wrong_width", "a word and 3 numbers, got 2"),
        (b"bad 1 2 3 4", "wrong_width", "a word and 3 numbers, got 4"),
        (b"bad", "wrong_width", "a word and 3 numbers, got 0"),
        (b"b 1 x 3", "bad_number", "numbers"),
        (b"b 1 nan 3", "bad_number", "finite"),
        (b"b 1  3", "bad_number", "numbers"),
        (b"caf\xe9 1 2 3", "not_utf8", "UTF-8"),
        (b"a 1 2 3", "duplicate", "each word once, got 'a'"),
    ],
)
@pytest.mark.parametrize("header", [b"", b"3 3\n"])
def test_a_bad_line_is_named_or_counted(tmp_path, header, line, kind, message):
    path = plain(tmp_path / "v.txt", header + b"a 4 5 6\n" + line + b"\nc 7 8 9\n")
    number = 2 + bool(header)
    with pytest.raises(FeatureError, match=rf"v\.txt' line {number}: expected .*{message}"):
        read_vectors(path, {"a", "b", "c"})
    found, skipped = read_vectors(path, {"a", "b", "c"}, on_error="skip")
    assert {word: row.tolist() for word, row in found.items()} == {"a": [4, 5, 6], "c": [7, 8, 9]}
    assert skipped == Skipped(**{kind: 1})


def test_bad_entries_of_a_binary_are_named_or_counted(tmp_path):
    row, nan = np.float32([1, 2, 3]).tobytes(), np.float32([1, np.nan, 3]).tobytes()
    path = plain(tmp_path / "v.bin", b"5 3\na " + row + b"caf\xe9 " + row + b"a " + row + b"b " + nan + b"c " + row)
    with pytest.raises(FeatureError, match="line 2: expected a word in UTF-8"):
        read_vectors(path, {"a", "b", "c"})
    found, skipped = read_vectors(path, {"a", "b", "c"}, on_error="skip")
    assert found.keys() == {"a", "c"}
    assert skipped == Skipped(not_utf8=1, duplicate=1, bad_number=1)


@pytest.mark.parametrize("write", [plain, packed_gzip, packed_zip])
def test_a_file_that_is_cut_short_is_refused(tmp_path, write):
    content = binary(True)
    with pytest.raises(FeatureError, match=r"vectors'.*cut short"):
        read_vectors(write(tmp_path / "vectors", content[: len(content) // 2]), WANTED, on_error="skip")
    whole = write(tmp_path / "whole", text(False)).read_bytes()
    if write is not plain:
        with pytest.raises(FeatureError, match="cut'"):
            read_vectors(plain(tmp_path / "cut", whole[: len(whole) // 2]), WANTED, on_error="skip")


def test_a_zip_without_its_end_is_never_read_as_words(tmp_path):
    content = b"PK\x03\x04 1 2 3\n" + text(False)
    with pytest.raises(FeatureError, match="an intact file, got a zip file without its end"):
        read_vectors(plain(tmp_path / "cut", content), WANTED, on_error="skip")


@pytest.mark.parametrize("content", [b"", b"\n", b"word\n", b"word 1\n"])
def test_what_is_no_file_of_vectors_is_refused(tmp_path, content):
    with pytest.raises(FeatureError, match=r"v\.txt"):
        read_vectors(plain(tmp_path / "v.txt", content), {"a"})
    with pytest.raises(FeatureError, match="no such file"):
        read_vectors(tmp_path / "absent", {"a"})


def test_the_member_of_a_zip_is_chosen(tmp_path):
    path = tmp_path / "v.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("small.txt", "a 1 2\n")
        archive.writestr("large.txt", "a 1 2 3\n")
    assert read_vectors(path, {"a"}, member="large.txt")[0]["a"].tolist() == [1, 2, 3]
    for member in (None, "medium.txt"):
        with pytest.raises(FeatureError, match=r"one of large\.txt, small\.txt"):
            read_vectors(path, {"a"}, member=member)


def test_progress_is_shown_on_demand(tmp_path, capsys):
    path = plain(tmp_path / "v.txt", text(True))
    read_vectors(path, {"word1"}, progress=True)
    assert "word vectors" in capsys.readouterr().err
    read_vectors(path, {"word1"}, progress=False)
    assert capsys.readouterr().err == ""
