"""Motion capture of IEMOCAP: hand, head and face tracks of one utterance as a sequence of fixed length.

As in S. Tripathi et al., "Multi-Modal Emotion Recognition on IEMOCAP with Neural Networks", arXiv:1804.05788: the rows
strictly inside the utterance are cut in order into 200 parts, and each part is the mean of its rows.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from mm_emotion.errors import FeatureError, nearest

_NUMBERED = {"CH": "123", "FH": "123", "LC": "12345678", "RC": "12345678", "LLID": [""], "RLID": [""], "MH": [""]}
_NUMBERED |= {"MNOSE": [""], "LNSTRL": [""], "TNOSE": [""], "RNSTRL": [""], "LBM": "0123", "RBM": "0123"}
_NUMBERED |= {"LBRO": "1234", "RBRO": "1234", "Mou": "12345678", "LHD": [""], "RHD": [""]}
FACE_MARKERS = tuple(name + number for name, numbers in _NUMBERED.items() for number in numbers)
"""The 55 markers of the face, each with three coordinates in mm."""

KINDS = ("hand", "head", "rotated")
"""The files of an utterance, in the order of their columns; `rotated` is the face, turned with the head."""

_WIDTHS = {"hand": 18, "head": 6, "rotated": 3 * len(FACE_MARKERS)}
MOCAP_WIDTH = sum(_WIDTHS.values())


@dataclass(frozen=True)
class Mocap:
    """The `mocap` feature: the files of an utterance to (parts, 189) float32, hand 18, head 6, face 165 columns.

    A marker that was not seen is left out of its mean; a part without rows or without the marker is 0.
    `zero_head_hand` puts zeros in place of hand and head, as the runs published with the paper did by mistake, and
    then needs the face's file alone. Errors: FeatureError for an impossible option.
    """

    name: ClassVar[str] = "mocap"
    version: ClassVar[int] = 1
    licence: ClassVar[str | None] = None
    axes: ClassVar[int] = 2

    parts: int = 200
    zero_head_hand: bool = False

    def __post_init__(self):
        if type(self.parts) is not int or self.parts < 1:
            raise FeatureError("parts", "an integer of at least 1", repr(self.parts))
        if type(self.zero_head_hand) is not bool:
            raise FeatureError("zero_head_hand", "true or false", repr(self.zero_head_hand))

    @property
    def needed(self) -> tuple[str, ...]:
        """The kinds of files that are read."""
        return ("rotated",) if self.zero_head_hand else KINDS

    def __call__(self, files: Mapping[str, str | os.PathLike], start: float, end: float) -> np.ndarray:
        """The sequence of the utterance from `start` to `end` (s), from one file for each of `needed`.

        Errors: FeatureError naming the file for one that is missing or malformed, that lacks a column (named), or
        that has no row inside the utterance.
        """
        values = np.zeros((self.parts, MOCAP_WIDTH), dtype=np.float32)
        column = 0
        for kind in KINDS:
            if kind in self.needed:
                times, table = read_markers(files[kind], kind)
                rows = table[(times > start) & (times < end)]  # (N, D)
                if len(rows) == 0:
                    given = f"{times.min()} to {times.max()} s" if len(times) else "no rows"
                    raise FeatureError(f"mocap {str(files[kind])!r}", f"rows between {start} and {end} s", given)
                values[:, column : column + _WIDTHS[kind]] = _means(rows, self.parts)
            column += _WIDTHS[kind]
        return values


def read_markers(path: str | os.PathLike, kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Times (N,) in s and values (N, D) of a file of `kind`, NaN where a marker was not seen.

    A file has a line of names (Frame#, Time, then a name for each marker or angle), a line of axes or units, and rows
    of numbers. The face's columns are found by their markers' names, those of hand and head by their place.
    Errors: FeatureError naming the file, and the column that is missing or the line that is wrong.
    """
    field = f"mocap {str(path)!r}"
    if not Path(path).is_file():
        raise FeatureError(field, "a motion capture file", "no such file")
    try:
        with Path(path).open(encoding="utf-8") as file:
            names = file.readline().split()
            axes = file.readline().split()
            columns = _columns(field, names, len(axes), kind)
            table = _numbers(field, file, len(axes) + 2)
    except UnicodeDecodeError as error:
        raise FeatureError(field, "a text in UTF-8", error) from error
    if not np.isfinite(table[:, 1]).all():
        raise FeatureError(field, "finite numbers in column Time", "others")
    if np.isinf(table).any():
        raise FeatureError(field, "finite numbers, or NaN for an unseen marker", "infinite ones")
    return table[:, 1], table[:, columns]


def _columns(field: str, names: list[str], width: int, kind: str) -> list[int]:
    """Where the columns of `kind` are in a row, given its names and the number of columns after frame and time."""
    if [name.lower() for name in names[:2]] != ["frame#", "time"]:
        raise FeatureError(
            field, "a first line of names, Frame# and Time first", " ".join(names[:3]) or "an empty line"
        )
    if kind != "rotated":
        if width < _WIDTHS[kind]:
            expected = f"{_WIDTHS[kind]} columns after Time"
            raise FeatureError(field, expected, width, f"no column {width + 1} of {' '.join(names[2:]) or 'no names'}")
        return list(range(2, 2 + _WIDTHS[kind]))
    places = {name: index for index, name in enumerate(names[2:])}
    for marker in FACE_MARKERS:
        if marker not in places:
            raise FeatureError(field, f"a column {marker}", "none", nearest(marker, places))
        if 3 * places[marker] + 3 > width:
            raise FeatureError(field, f"three axes for column {marker}", f"{width} columns after Time")
    return [2 + 3 * places[marker] + axis for marker in FACE_MARKERS for axis in range(3)]


def _numbers(field: str, lines, width: int) -> np.ndarray:
    """The rows of numbers (N, width)."""
    rows = []
    for number, line in enumerate(lines, start=3):
        values = line.split()
        if not values:
            continue
        if len(values) != width:
            raise FeatureError(f"{field} line {number}", f"{width} numbers", len(values))
        try:
            rows.append(np.array(values, dtype=np.float64))
        except ValueError as error:
            raise FeatureError(f"{field} line {number}", "numbers", error) from error
    return np.stack(rows) if rows else np.empty((0, width))


def _means(rows: np.ndarray, parts: int) -> np.ndarray:
    """Means (parts, D) over consecutive parts of the rows (N, D), the first parts one row longer where they differ."""
    sizes = np.full(parts, len(rows) // parts)
    sizes[: len(rows) % parts] += 1
    edges = np.concatenate([[0], np.cumsum(sizes)])
    seen = ~np.isnan(rows)
    sums, counts = (
        np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(values, axis=0)])
        for values in (np.where(seen, rows, 0.0), seen.astype(np.float64))
    )
    count = counts[edges[1:]] - counts[edges[:-1]]  # (parts, D)
    return (sums[edges[1:]] - sums[edges[:-1]]) / np.maximum(count, 1)
