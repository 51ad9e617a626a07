"""Rows of a csv, tsv or jsonl table as text, one at a time, with their line numbers."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path

from mm_emotion.errors import CorpusError

SEPARATORS = {".csv": ",", ".tsv": "\t"}
_OTHERS = {";": "a semicolon", "\t": "a tab", "|": "a bar", ",": "a comma"}

Row = dict[str, str]


def read_table(path: Path) -> Iterator[tuple[int, Row]]:
    """Line number and row of a .csv, .tsv or .jsonl file in UTF-8; absent values are "".

    Raises CorpusError with the line for what is not well-formed: an unknown suffix, another separator, an unnamed or
    repeated column, a row that is longer or shorter than the header, a value in jsonl that is no text or number.
    """
    kinds = [*SEPARATORS, ".jsonl"]
    if path.suffix.lower() not in kinds:
        raise CorpusError("table", f"a file that ends in {', '.join(kinds)}", repr(path.name))
    read = _read_jsonl if path.suffix.lower() == ".jsonl" else _read_csv
    try:
        yield from read(path)
    except UnicodeDecodeError as error:
        raise CorpusError(str(path), "a text in UTF-8", error, "in a spreadsheet: save as CSV UTF-8") from None
    except OSError as error:
        raise CorpusError(str(path), "a readable file", error) from None


def _read_csv(path: Path) -> Iterator[tuple[int, Row]]:
    separator = SEPARATORS[path.suffix.lower()]
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.reader(stream, delimiter=separator, strict=True)
        try:
            names = [name.strip() for name in next(reader, [])]
            _check_names(path, names, separator)
            for values in reader:
                if not any(value.strip() for value in values):
                    continue
                if len(values) != len(names):
                    raise CorpusError(
                        f"{path}, line {reader.line_num}",
                        f"{len(names)} values, as the first line names",
                        len(values),
                        f"put a value that holds {_OTHERS[separator]} in double quotes",
                    )
                yield reader.line_num, dict(zip(names, map(str.strip, values), strict=True))
        except csv.Error as error:
            raise CorpusError(f"{path}, line {reader.line_num}", "well-formed csv", error) from None


def _check_names(path: Path, names: list[str], separator: str) -> None:
    where = f"{path}, line 1"
    if not any(names):
        raise CorpusError(where, "the names of the columns", "an empty line" if names else "an empty file")
    if len(names) == 1:
        for other, what in _OTHERS.items():
            if other != separator and other in names[0]:
                kind = f"columns with {_OTHERS[separator]} between them"
                raise CorpusError(where, kind, f"{names[0][:80]!r}", f"the separator seems to be {what}")
    if "" in names:
        raise CorpusError(where, "a name for every column", f"none for column {names.index('') + 1}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise CorpusError(where, "each column once", f"{twice[0]!r} {names.count(twice[0])} times")


def _read_jsonl(path: Path) -> Iterator[tuple[int, Row]]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            where = f"{path}, line {number}"
            try:
                values = json.loads(line, parse_constant=_refuse)
            except (ValueError, RecursionError) as error:
                raise CorpusError(where, "one JSON object", error or "too deep a one") from None
            if not isinstance(values, dict):
                raise CorpusError(where, "one JSON object", type(values).__name__)
            yield number, {name: _text(where, name, value) for name, value in values.items()}


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant}, which is no JSON")


def _text(where: str, name: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise CorpusError(f"{where}, {name}", "a text, a number or null", type(value).__name__)
    return str(value).strip()
