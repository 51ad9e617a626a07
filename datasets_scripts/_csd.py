"""Computational sequences of the CMU Multimodal SDK (.csd, HDF5), read an entry at a time.

The first group of a file holds `data/<entry>/features` (N, d...), `data/<entry>/intervals` (N, 2) in seconds, and
`metadata/<key>` (1,), each a JSON document. Metadata may be absent; a file that is cut off, is refused.
"""

import json
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from datasets_scripts._builder import Manifest
from mm_emotion.errors import CorpusError, MissingExtraError

TOUCH = 1e-5
"""Seconds by which intervals must overlap more to count."""

LARGEST = 1 << 28
"""Bytes of one entry; one of CMU-MOSEI has a tenth of it. A damaged header may claim any size."""

_LARGEST_HEAP = 1 << 24
_REFERENCE = struct.Struct("<IQI")  # length, address of the heap, number in it
_OBJECT = struct.Struct("<H6xQ")  # number, bytes


class Sequence:
    """One .csd file, open: its entries are read when they are asked for, so that size does not matter.

    Entries that cannot be used are noted in `manifest`; raises CorpusError for a file that is no computational
    sequence, MissingExtraError without h5py.
    """

    def __init__(self, path: Path, manifest: Manifest):
        try:
            import h5py
        except ImportError as error:
            raise MissingExtraError("h5py", "csd") from error
        self.path, self._manifest, self._group, self._dataset = path, manifest, h5py.Group, h5py.Dataset
        try:
            self._file = h5py.File(path, "r")
            self._root = next(iter(self._file.values()), None)
            data = self._root.get("data") if isinstance(self._root, h5py.Group) else None
        except (OSError, RuntimeError, KeyError, ValueError) as error:  # what HDF5 says of a damaged file
            raise CorpusError(str(path), "a whole HDF5 file", " ".join(str(error).split())[:200]) from error
        if not isinstance(data, h5py.Group):
            raise CorpusError(str(path), "a computational sequence: a group that holds data", "none")
        self._data = data
        self._width: int | None = None

    def __enter__(self) -> "Sequence":
        return self

    def __exit__(self, *_) -> None:
        self._file.close()

    def ids(self) -> list[str]:
        """Names of the entries, sorted; raises CorpusError."""
        try:
            return sorted(self._data)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise self._damaged("data", error) from error

    def __contains__(self, entry: str) -> bool:
        return entry in self._data

    def metadata(self, key: str) -> object:
        """A JSON document of the metadata, its text where that is no JSON, None where there is none."""
        try:
            value = self._root.get(f"metadata/{key}")
            if not isinstance(value, self._dataset) or value.size != 1:
                return None
            if value.dtype.kind == "O":
                text = _heap_text(self.path, value.id.get_offset())
            else:
                text = np.asarray(value[()]).reshape(-1)[0]
            text = text.decode() if isinstance(text, bytes) else str(text)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise self._damaged(f"metadata {key}", error) from error
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text

    def dimensions(self) -> list[str]:
        """Names of the columns as the metadata give them; none where they do not."""
        names = self.metadata("dimension names")
        return [str(name).strip() for name in names] if isinstance(names, list) else []

    def entry(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Intervals (N, 2) float64 in seconds and features (N, d), sorted by start, of one entry.

        Rows whose interval is not finite or ends before it starts are left out; values that are not finite (COVAREP has
        them) become 0; both are counted. None, and a note, where there is nothing to read. Raises CorpusError where
        intervals and features differ in number, or the width is not that of other entries.
        """
        where = f"{self.path}, {name}"
        try:
            group = self._data[name]
            parts = {
                key: group.get(key) if isinstance(group, self._group) else None for key in ("intervals", "features")
            }
            for key, part in parts.items():
                if not isinstance(part, self._dataset):
                    self._manifest.note("unreadable", f"entry without {key} in {self.path.name}", name)
                    return None
            shapes = {key: part.shape for key, part in parts.items()}
            if len(shapes["intervals"]) != 2 or shapes["intervals"][1] != 2 or len(shapes["features"]) < 2:
                raise CorpusError(where, "intervals (N, 2) and features (N, d)", shapes)
            kinds = {key: part.dtype.kind for key, part in parts.items()}
            if kinds["intervals"] not in "fiu" or kinds["features"] not in "fiuS":
                expected = "intervals as numbers, features as numbers or texts of one length"
                raise CorpusError(where, expected, {key: str(part.dtype) for key, part in parts.items()})
            if shapes["intervals"][0] != shapes["features"][0]:
                given = f"{shapes['intervals'][0]} intervals, {shapes['features'][0]} features"
                raise CorpusError(where, "as many intervals as features", given)
            size = sum(part.nbytes for part in parts.values())
            if size > LARGEST:
                raise CorpusError(where, f"at most {LARGEST} bytes in an entry", size)
            intervals = np.asarray(parts["intervals"][()], dtype=np.float64)
            features = np.asarray(parts["features"][()])
        except CorpusError:
            raise
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, MemoryError) as error:
            raise self._damaged(name, error) from error
        return self._checked(name, intervals, features.reshape(len(features), math.prod(features.shape[1:])))

    def _checked(self, name: str, intervals: np.ndarray, features: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        file = self.path.name
        if not len(features):
            self._manifest.note("unreadable", f"empty entry in {file}", name)
            return None
        if self._width not in (None, features.shape[1]):
            raise CorpusError(f"{self.path}, {name}", f"{self._width} values, as other entries", features.shape[1])
        self._width = features.shape[1]
        good = np.isfinite(intervals).all(axis=1) & (intervals[:, 1] >= intervals[:, 0])
        if not good.all():
            self._manifest.note("dropped", f"interval that ends before it starts in {file}", f"{name} x{(~good).sum()}")
            intervals, features = intervals[good], features[good]
        order = np.argsort(intervals[:, 0], kind="stable")
        intervals, features = intervals[order], features[order]
        overlaps = int((intervals[1:, 0] < intervals[:-1, 1] - TOUCH).sum())
        if overlaps:
            self._manifest.found[f"overlapping intervals in {file}"] += overlaps
        if features.dtype.kind in "fiu":
            features = features.astype(np.float32)
            bad = ~np.isfinite(features)
            if bad.any():
                self._manifest.found[f"values not finite, taken as 0, in {file}"] += int(bad.sum())
                features[bad] = 0.0
        return intervals, features

    def _damaged(self, what: str, error: Exception) -> CorpusError:
        return CorpusError(f"{self.path}, {what}", "a readable part", " ".join(str(error).split())[:200])


def _heap_text(path: Path, offset: int | None) -> bytes:
    """A text of any length, (1,), from the bytes of the file; raises ValueError.

    The HDF5 library goes round for ever in a damaged heap of such texts. Layout: HDF5 File Format Specification 3.0,
    III.E, "Disk Format: Level 1E - Global Heap".
    """
    if offset is None:
        raise ValueError("a text that is stored in pieces")
    with path.open("rb") as file:
        file.seek(offset)
        reference = file.read(_REFERENCE.size)
        if len(reference) < _REFERENCE.size:
            raise ValueError("a text beyond the end of the file")
        length, address, wanted = _REFERENCE.unpack(reference)
        file.seek(min(address, 1 << 62))
        mark, size = file.read(8), file.read(8)
        if mark[:4] != b"GCOL" or len(size) < 8:
            raise ValueError("no heap where a text should be")
        heap = file.read(min(int.from_bytes(size, "little"), _LARGEST_HEAP))
    at = 0
    while at + _OBJECT.size <= len(heap):
        index, held = _OBJECT.unpack_from(heap, at)
        at += _OBJECT.size
        if index == wanted:
            return heap[at : at + min(length, held)]
        at += held + -held % 8
    raise ValueError("no text in the heap where it should be")


def within(intervals: np.ndarray, start: float, end: float) -> slice:
    """Rows of sorted `intervals` (N, 2) from the first to the last that overlaps [start, end]."""
    hits = np.flatnonzero((intervals[:, 1] - start > TOUCH) & (end - intervals[:, 0] > TOUCH))
    return slice(hits[0], hits[-1] + 1) if len(hits) else slice(0, 0)


def words_of(features: np.ndarray) -> Iterator[str]:
    """Tokens of a sequence of words or phones, (N, 1) byte strings; raises ValueError where they are no text."""
    for token in features[:, 0].tolist():
        if isinstance(token, bytes):
            token = token.decode()
        if not isinstance(token, str):
            raise ValueError(f"a {type(token).__name__}")
        yield token
