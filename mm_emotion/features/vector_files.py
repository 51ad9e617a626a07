"""Files of word vectors: finding out what a file is, unpacking it, and reading those that are text."""

import gzip
import os
import zipfile
import zlib
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from mm_emotion.errors import FeatureError
from mm_emotion.features.vector_binaries import MAGIC, read_fasttext, read_word2vec

_LONGEST = 1 << 20  # bytes: no line or word of such a file is longer


@dataclass
class Skipped:
    """Lines left out with `on_error="skip"`: what was wrong -> how often."""

    wrong_width: int = 0
    bad_number: int = 0
    not_utf8: int = 0
    duplicate: int = 0


class _Lines:
    """Turns a wrong line into an error that names it, or counts it."""

    def __init__(self, path: str | os.PathLike, on_error: str):
        if on_error not in ("raise", "skip"):
            raise FeatureError("on_error", "raise or skip", repr(on_error))
        self.path, self.skip, self.skipped = path, on_error == "skip", Skipped()

    def wrong(self, number: int, kind: str, expected: object, given: object) -> None:
        if not self.skip:
            raise FeatureError(f"word vectors {str(self.path)!r} line {number}", expected, given)
        setattr(self.skipped, kind, vars(self.skipped)[kind] + 1)


def read_vectors(
    path: str | os.PathLike,
    words: Set[str],
    *,
    on_error: str = "raise",
    member: str | None = None,
    progress: bool | None = None,
) -> tuple[dict[str, np.ndarray], Skipped]:
    """The vectors (D,) float32 of those of `words` that a file has, and what was skipped.

    The arguments are those of `word_vectors.embedding_table`. Numbers and repetitions are checked for the wanted words
    alone, width and encoding for all; of a repeated word the first counts. In a binary file a word's place is its line.
    A fastText model also makes vectors for words that it does not list, from their letters, where it was trained to.
    """
    lines = _Lines(path, on_error)
    field = f"word vectors {str(path)!r}"
    wanted = {word.encode(): word for word in words}
    with _opened(path, member) as (stream, size, plain):
        start = stream.read(4)
        if start == MAGIC:
            if not plain:
                raise FeatureError(field, "an unpacked fastText model", "a packed one", "unpack it first")
            return read_fasttext(path, wanted), lines.skipped
        off = None if progress is None else not progress
        with tqdm(total=size, unit="B", unit_scale=True, desc="word vectors", disable=off) as bar:
            head = start if b"\n" in start else start + stream.readline(_LONGEST)
            first, _, behind = head.partition(b"\n")
            if not first.strip():
                raise FeatureError(field, "words and numbers", "an empty first line" if head else "an empty file")
            shape = _shape(first)
            if shape is None:
                width = len(first.split()) - 1
                if width < 2:
                    raise FeatureError(f"{field} line 1", "a word and at least two numbers", f"{width} after the word")
                found = _read_text(_joined(head, stream), width, wanted, lines, bar, 1)
            else:
                sample = behind + stream.read(4096)
                if _is_text(sample):
                    found = _read_text(_joined(sample, stream), shape[1], wanted, lines, bar, 2)
                else:
                    where = (path, len(first) + 1) if plain else None
                    found = read_word2vec(field, stream, sample, shape, wanted, lines.wrong, bar.update, where)
    return found, lines.skipped


@contextmanager
def _opened(path: str | os.PathLike, member: str | None) -> Iterator[tuple[BinaryIO, int | None, bool]]:
    """The unpacked bytes of a file, their number where it is known, and whether they lie in the file as they are."""
    field = f"word vectors {str(path)!r}"
    if not Path(path).is_file():
        raise FeatureError(field, "a file of word vectors", "no such file")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                entry = _entry(field, archive, member)
                with archive.open(entry) as stream:
                    yield stream, entry.file_size, False
            return
        with Path(path).open("rb") as raw:
            start = raw.read(4)
            if start == b"PK\x03\x04":  # without its end no zip file, but none of words either
                raise zipfile.BadZipFile("a zip file without its end")
            if start[:2] == b"\x1f\x8b":
                raw.seek(0)
                with gzip.open(raw) as stream:
                    yield stream, None, False
            else:
                raw.seek(0)
                yield raw, Path(path).stat().st_size, True
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError) as error:
        raise FeatureError(field, "an intact file", error) from error


def _entry(field: str, archive: zipfile.ZipFile, member: str | None) -> zipfile.ZipInfo:
    files = {entry.filename: entry for entry in archive.infolist() if not entry.is_dir()}
    if member is None and len(files) == 1:
        return next(iter(files.values()))
    if member not in files:
        raise FeatureError(f"member of {field}", f"one of {', '.join(sorted(files)) or 'no files'}", repr(member))
    return files[member]


def _shape(line: bytes) -> tuple[int, int] | None:
    """Words and width of a header line, None for any other line."""
    parts = line.split()
    if len(parts) == 2 and parts[0].isdigit() and parts[1].isdigit() and int(parts[1]) > 1:
        return int(parts[0]), int(parts[1])
    return None


def _is_text(sample: bytes) -> bool:
    """Whether numbers are written out behind a header: in a binary file hardly any part of a line is a number."""
    parts = sample.split(b"\n", 1)[0].split()
    return sum(map(_number, parts)) * 2 > len(parts)


def _joined(rest: bytes, stream: BinaryIO) -> Iterator[bytes]:
    """Lines of `rest` and of the stream behind it."""
    *whole, last = rest.split(b"\n")
    yield from whole
    if last or rest:
        yield last + stream.readline(_LONGEST).rstrip(b"\n")
    while line := stream.readline(_LONGEST):
        yield line.rstrip(b"\n")


def _read_text(
    source: Iterator[bytes], width: int, wanted: dict[bytes, str], lines: _Lines, bar: tqdm, first: int
) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}
    waiting = 0
    for number, line in enumerate(source, start=first):
        waiting += len(line) + 1
        if waiting > 1 << 22:
            bar.update(waiting)
            waiting = 0
        line = line.rstrip(b" \r\t")
        if not line:
            continue
        word, _, values = line.replace(b"\t", b" ").partition(b" ")
        spaces = values.count(b" ") + 1 if values else 0
        if spaces > width:  # some GloVe files have words with spaces in them
            word, *fields = line.rsplit(b" ", width)
            values = b" ".join(fields)
            spaces = spaces if _number(word.split(b" ", 1)[-1].split(b" ")[0]) else width
        if spaces != width:
            lines.wrong(number, "wrong_width", f"a word and {width} numbers", f"{spaces} after the word")
            continue
        try:
            word.decode()
        except UnicodeDecodeError as error:
            lines.wrong(number, "not_utf8", "a word in UTF-8", error)
            continue
        name = wanted.get(word)
        if name is None:
            continue
        if name in found:
            lines.wrong(number, "duplicate", "each word once", repr(name))
            continue
        try:
            vector = np.array(values.split(b" "), dtype=np.float32)
        except ValueError as error:
            lines.wrong(number, "bad_number", "numbers", error)
            continue
        if len(vector) != width or not np.isfinite(vector).all():
            lines.wrong(number, "bad_number", "finite numbers", "NaN or infinite ones")
            continue
        found[name] = vector
    bar.update(waiting)
    return found


def _number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
