"""ARFF files of frame labels and features, a row at a time; only what such files hold is understood."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mm_emotion.errors import CorpusError

_NUMERIC = ("numeric", "real", "integer")
_ATTRIBUTE = re.compile(r"""@attribute\s+('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^\s'"{]+)\s+(.+)""", re.IGNORECASE)
_VALUE = re.compile(r"""\s*('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|[^,'"]*?)\s*(?:,|$)""")
LONGEST = 1 << 22
"""Characters of a line: no row of features is longer."""


@dataclass(frozen=True)
class Attribute:
    """A column: its name, and whether it holds numbers (else text)."""

    name: str
    numeric: bool


def read_arff(path: Path) -> Iterator[tuple[Attribute, ...] | tuple[int, list[float | str]]]:
    """First the attributes, then line number and values of each row; `?` is NaN, or "" where text is due.

    Raises CorpusError with the line: a header that is cut off or holds an unknown type, a row with another number of
    values, a word where a number is due, the sparse form.
    """
    attributes: list[Attribute] = []
    in_data = False
    for number, line in numbered_lines(path):
        where = f"{path}, line {number}"
        if line.startswith("%"):
            continue
        if in_data:
            yield number, _row(where, line, attributes)
            continue
        keyword = line.split(None, 1)[0].lower()
        if keyword == "@attribute":
            attributes.append(_attribute(where, line))
        elif keyword == "@data":
            if not attributes:
                raise CorpusError(where, "@attribute lines before @data", "none")
            names = [attribute.name for attribute in attributes]
            if len(set(names)) < len(names):
                raise CorpusError(where, "each attribute once", f"{max(names, key=names.count)!r} again")
            in_data = True
            yield tuple(attributes)
        elif keyword != "@relation":
            raise CorpusError(where, "@relation, @attribute or @data", repr(line[:80]))
    if not in_data:
        raise CorpusError(str(path), "an arff file with @data", "none")


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and stripped text of each line that is not blank; raises CorpusError for what is no text."""
    try:
        with path.open(encoding="utf-8-sig") as stream:
            number = 0
            while line := stream.readline(LONGEST):
                number += 1
                if len(line) == LONGEST:
                    raise CorpusError(f"{path}, line {number}", f"at most {LONGEST} characters", "more")
                if line.strip():
                    yield number, line.strip()
    except UnicodeDecodeError as error:
        raise CorpusError(str(path), "a text in UTF-8", error) from None
    except OSError as error:
        raise CorpusError(str(path), "a readable file", error) from None


def number_of(where: str, text: str) -> float:
    """A number, NaN for `?` or `nan`; infinite ones are refused."""
    try:
        value = math.nan if text == "?" else float(text)
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise CorpusError(where, "a finite number, or ? where there is none", repr(text[:80]))
    return value


def _attribute(where: str, line: str) -> Attribute:
    found = _ATTRIBUTE.fullmatch(line)
    if found is None:
        raise CorpusError(where, "@attribute NAME TYPE", repr(line[:80]))
    name, kind = _unquoted(found[1]), found[2].strip().lower()
    if kind not in (*_NUMERIC, "string") and not (kind.startswith("{") and kind.endswith("}")):
        raise CorpusError(where, f"a type of {', '.join((*_NUMERIC, 'string'))} or {{names}}", repr(kind[:80]))
    return Attribute(name, kind in _NUMERIC)


def _row(where: str, line: str, attributes: list[Attribute]) -> list[float | str]:
    if line.startswith("{"):
        raise CorpusError(where, "a row of values with commas between them", "the sparse form")
    values = _values(where, line)
    if len(values) != len(attributes):
        raise CorpusError(where, f"{len(attributes)} values, one an attribute", len(values))
    return [
        number_of(f"{where}, {attribute.name}", value) if attribute.numeric else ("" if value == "?" else value)
        for attribute, value in zip(attributes, values, strict=True)
    ]


def _values(where: str, line: str) -> list[str]:
    if "'" not in line and '"' not in line:
        return [value.strip() for value in line.split(",")]
    values, at = [], 0
    while True:
        found = _VALUE.match(line, at)
        if found is None:
            raise CorpusError(where, "values with commas between them, quotes closed", repr(line[at : at + 80]))
        values.append(_unquoted(found[1]))
        if found.end() == len(line) and not found[0].endswith(","):
            return values
        at = found.end()


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text[:1] in ("'", '"') else text
