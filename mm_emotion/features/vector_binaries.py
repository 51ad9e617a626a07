"""Binary files of word vectors: those of word2vec, and models of fastText with vectors for parts of words.

T. Mikolov et al. (2013); P. Bojanowski et al., "Enriching Word Vectors with Subword Information", 2017.
"""

import mmap
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from mm_emotion.errors import FeatureError

MAGIC = struct.pack("<i", 793712314)
"""How a fastText model begins."""

_BLOCK = 1 << 22  # bytes
_LONGEST = 1 << 16  # bytes of a word


def read_word2vec(
    field: str,
    stream: BinaryIO,
    start: bytes,
    shape: tuple[int, int],
    wanted: dict[bytes, str],
    wrong: Callable[[int, str, object, object], None],
    advance: Callable[[int], object],
    where: tuple[str | os.PathLike, int] | None,
) -> dict[str, np.ndarray]:
    """Vectors of the `wanted` words: each entry is the word, a space and D little-endian float32, perhaps a line end.

    `shape` is (words, D) as in the header; `start` is what was read after it. `where`, a file and the length of its
    header, maps the file into memory in place of reading the stream. Errors: FeatureError for a file that is cut
    short; the rest goes to `wrong`.
    """
    found: dict[str, np.ndarray] = {}
    for number, (word, vector) in enumerate(_entries(field, stream, start, shape, advance, where), start=1):
        name = wanted.get(word)
        if name is None:
            if not word.isascii():
                _check_utf8(word, number, wrong)
        elif name in found:
            wrong(number, "duplicate", "each word once", repr(name))
        elif not np.isfinite(vector).all():
            wrong(number, "bad_number", "finite numbers", "NaN or infinite ones")
        else:
            found[name] = vector.copy()
    return found


def _check_utf8(word: bytes, number: int, wrong: Callable[[int, str, object, object], None]) -> None:
    try:
        word.decode()
    except UnicodeDecodeError as error:
        wrong(number, "not_utf8", "a word in UTF-8", error)


def _entries(
    field: str,
    stream: BinaryIO,
    start: bytes,
    shape: tuple[int, int],
    advance: Callable[[int], object],
    where: tuple[str | os.PathLike, int] | None,
) -> Iterator[tuple[bytes, np.ndarray]]:
    count, width = shape
    with Path(os.devnull if where is None else where[0]).open("rb") as file:
        buffer, place, told = start, 0, 0
        if where is not None:
            buffer, place, told = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), where[1], 0
        for number in range(count):
            while True:
                space = buffer.find(b" ", place, place + _LONGEST)
                end = space + 1 + 4 * width
                if space >= 0 and end <= len(buffer):
                    break
                more = stream.read(_BLOCK) if where is None and len(buffer) - place < _LONGEST + 4 * width else b""
                if not more:
                    raise FeatureError(field, f"{count} words", number, "the file is cut short or of another format")
                buffer, place, told = buffer[place:] + more, 0, 0
            yield buffer[place:space].lstrip(b"\n"), np.frombuffer(buffer[space + 1 : end], dtype="<f4")
            place = end
            if place - told > _BLOCK:
                advance(place - told)
                told = place


def read_fasttext(path: str | os.PathLike, wanted: dict[bytes, str]) -> dict[str, np.ndarray]:
    """Vectors of the `wanted` words of a fastText model, mapped into memory.

    A word's vector is the mean of its own and of those of its parts; a word that the model does not list is made of
    its parts alone. Errors: FeatureError for a damaged or a quantised model, naming the file.
    """
    field = f"word vectors {str(path)!r}"
    try:
        with Path(path).open("rb") as file:
            head = file.read(64)  # 4 bytes each: magic, version, D, 5 of training, loss, model, buckets, parts, ...
            _, version, width, *_, buckets, shortest, longest, _ = struct.unpack("<14i", head[:56])
            if not (version in (11, 12) and width > 0 and buckets >= 0 and 0 <= shortest <= longest < 64):
                raise FeatureError(field, "a fastText model of version 11 or 12", f"version {version}")
            rows = _read_dictionary(file, wanted)
            (quantised,) = struct.unpack("<?", file.read(1))
            if quantised:
                raise FeatureError(field, "a model with full vectors", "a quantised one")
            count, columns = struct.unpack("<2q", file.read(16))
            words = rows.pop(b"")
            if columns != width or count not in (words, words + buckets):
                raise FeatureError(field, f"a table of {words} words and {buckets} parts", f"{count} x {columns}")
            table = np.memmap(path, dtype="<f4", mode="r", offset=file.tell(), shape=(count, width))
    except FeatureError:
        raise
    except (struct.error, OverflowError, ValueError) as error:
        raise FeatureError(field, "an intact fastText model", error) from error
    found = {}
    for word, name in wanted.items():
        parts = [words + part for part in _parts(word, buckets, shortest, longest)] if count > words else []
        parts += [rows[word]] if word in rows else []
        if parts:
            with np.errstate(over="ignore", invalid="ignore"):  # told below
                found[name] = np.asarray(table[parts]).mean(axis=0, dtype=np.float64).astype(np.float32)
            if not np.isfinite(found[name]).all():
                raise FeatureError(f"{field} word {name!r}", "finite numbers", "NaN or infinite ones")
    return found


def _read_dictionary(file: BinaryIO, wanted: dict[bytes, str]) -> dict[bytes, int]:
    """Rows of the `wanted` words; under b"" the number of words in the table."""
    size, words, _, _, pruned = struct.unpack("<3i2q", file.read(28))
    rows: dict[bytes, int] = {}
    rest, place = b"", 0
    for row in range(size):
        while (end := rest.find(b"\0", place)) < 0 or end + 10 > len(rest):
            block = file.read(_BLOCK)
            if not block:
                raise struct.error("the list of words is cut short")
            rest, place = rest[place:] + block, 0
        word, kind = rest[place:end], rest[end + 9]
        if kind == 0 and word in wanted:
            rows.setdefault(word, row)
        place = end + 10
    file.seek(place - len(rest) + 8 * max(0, pruned), os.SEEK_CUR)
    return {**rows, b"": words}


def _parts(word: bytes, buckets: int, shortest: int, longest: int) -> list[int]:
    """Places of the parts of a word, its runs of `shortest` to `longest` letters with < and > at its ends."""
    if buckets == 0 or longest == 0:
        return []
    letters = [letter.encode() for letter in f"<{word.decode()}>"]
    parts = []
    for first in range(len(letters)):
        for length in range(shortest, min(longest, len(letters) - first) + 1):
            if length == 0 or (length == 1 and (first == 0 or first + length == len(letters))):
                continue  # a lone mark of an end is no part
            parts.append(_hash(b"".join(letters[first : first + length])) % buckets)
    return parts


def _hash(part: bytes) -> int:
    """FNV-1a over signed bytes, 32 bits, as fastText has it."""
    value = 2166136261
    for byte in part:
        value = (value ^ (byte if byte < 128 else byte | 0xFFFFFF00)) * 16777619 & 0xFFFFFFFF
    return value
