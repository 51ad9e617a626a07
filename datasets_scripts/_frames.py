"""Frame tables of a recording: labels or features at regular times, as csv (with or without names) or arff."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datasets_scripts._arff import number_of, numbered_lines, read_arff
from mm_emotion.errors import CorpusError

_TIMES = ("timestamp", "frametime", "time")
_NAMES = ("name", "instance_name", "file")
_PARTITION = re.compile(r"(train(?:ing)?|dev(?:el|elopment)?|valid(?:ation)?|test)(?![a-z])", re.IGNORECASE)
_SEPARATORS = (";", ",", "\t", " ")


@dataclass(frozen=True)
class Frames:
    """Times (N,) in s, strictly increasing, and values (N, D) with the names of the columns where the file has them."""

    names: tuple[str, ...]
    times: np.ndarray
    values: np.ndarray


def partition(recording: str) -> str | None:
    """train, validation or test, by how the name of a recording begins; None for another name."""
    found = _PARTITION.match(recording)
    if found is None:
        return None
    return {"tr": "train", "de": "validation", "va": "validation", "te": "test"}[found[0][:2].lower()]


def read_frames(path: Path) -> Frames:
    """One recording's frames from a .csv, .txt or .arff file.

    A csv has `;`, a comma or a tab between its values, and names in its first line or none (then name and time, or time
    alone, come first). Raises CorpusError for times that are missing or do not increase, for rows of several lengths or
    recordings, and for what is no number.
    """
    rows: list[list[float]] = []
    recordings: set[str] = set()
    names, lines = _arff_rows(path) if path.suffix.lower() == ".arff" else _csv_rows(path)
    lowered = [name.lower() for name in names]
    instance = next((lowered.index(name) for name in _NAMES if name in lowered), None)
    time = next((lowered.index(name) for name in _TIMES if name in lowered), None)
    if time is None:
        raise CorpusError(str(path), f"a column {', '.join(_TIMES)}", ", ".join(names)[:200])
    kept = [index for index in range(len(names)) if index not in (instance, time)]
    for number, values in lines:
        where = f"{path}, line {number}"
        if instance is not None:
            recordings.add(str(values[instance]))
            if len(recordings) > 1:
                raise CorpusError(where, "frames of one recording", ", ".join(sorted(recordings)))
        row = [values[index] for index in (time, *kept)]
        rows.append([value if isinstance(value, float) else number_of(where, value) for value in row])
        if len(rows) > 1 and not rows[-1][0] > rows[-2][0]:
            raise CorpusError(where, f"a time after {rows[-2][0]}", rows[-1][0])
    if not rows:
        raise CorpusError(str(path), "at least one frame", "none")
    table = np.array(rows, dtype=np.float64)
    if not np.isfinite(table[:, 0]).all():
        raise CorpusError(str(path), "a time in every row", "none in some")
    return Frames(tuple(names[index] for index in kept), table[:, 0], table[:, 1:])


def _arff_rows(path: Path):
    stream = read_arff(path)
    return [attribute.name for attribute in next(stream)], stream


def _csv_rows(path: Path):
    lines = numbered_lines(path)
    number, first = next(lines, (0, ""))
    separator = next((mark for mark in _SEPARATORS if mark in first), ";")
    values = _split(first, separator)
    if len(values) < 2:
        raise CorpusError(f"{path}, line 1", "a time and values with ; between them", repr(first[:80]))
    if not _is_number(values[-1]):
        names, ahead = values, []
    else:
        named = not _is_number(values[0])
        leading = ["name", "timestamp"] if named else ["timestamp"]
        names, ahead = [*leading, *(f"value{index}" for index in range(len(values) - len(leading)))], [(number, first)]
    if len(set(names)) < len(names):
        raise CorpusError(f"{path}, line 1", "each column once", f"{max(names, key=names.count)!r} again")

    def rows():
        for source in (ahead, lines):
            for number, line in source:
                values = _split(line, separator)
                if len(values) != len(names):
                    raise CorpusError(f"{path}, line {number}", f"{len(names)} values, as the first line", len(values))
                yield number, values

    return names, rows()


def _split(line: str, separator: str) -> list[str]:
    parts = line.split() if separator == " " else line.split(separator)
    return [part.strip().strip("'\"") for part in parts]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return text == "?"
    return True
