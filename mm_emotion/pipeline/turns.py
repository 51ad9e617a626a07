"""What a user hands over to be predicted: words, a clip, a mapping, a list of turns or a csv file, as utterances."""

import csv
import math
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Real
from pathlib import Path

import numpy as np

from mm_emotion.errors import FeatureError
from mm_emotion.features.dialogues import UTTERANCE_KEYS, check_dialogue
from mm_emotion.features.media import has_track, video_seconds
from mm_emotion.features.sound import CONTAINERS, audio_seconds
from mm_emotion.features.voice_activity import LONGEST, PAUSE, SHORTEST, speech_stretches

SOUND_FILES = frozenset((".aif", ".aiff", ".au", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav"))
"""File endings that are read as sound; those of `CONTAINERS` are read as video or, without pictures, as sound."""
TABLES = {".csv": ",", ".tsv": "\t"}
"""Ending of a table of turns -> what stands between its columns."""

_MEDIA = ("audio", "audio_path", "video", "video_path")
_TURN = ("text", "transcript", *_MEDIA, "mocap")
_SAME = (("text", "transcript"), ("audio", "audio_path"), ("video", "video_path"), ("speaker", "party"))
_NUMBERS = ("start", "end")
_SEPARATORS = {",": "comma", "\t": "tab", ";": "semicolon", "|": "bar"}

Source = str | os.PathLike | Mapping | Sequence[Mapping]


def read_turns(
    source: Source,
    longest: float = LONGEST,
    pause: float = PAUSE,
    shortest: float = SHORTEST,
    by_voice: bool = True,
) -> list[dict]:
    """The utterances of one input, each a mapping of `UTTERANCE_KEYS`; `conversations` says which belong together.

    `source` is a transcript, a sound or video file, a mapping of one utterance, a list of such mappings (the turns), or
    a csv or tsv file of turns. A recording of more than `longest` s that comes without words and without an `end` is
    cut by voice activity (`speech_stretches`), without `by_voice` into even stretches, for who only looks. Errors:
    FeatureError, which names the file, row or key, for a missing or unreadable file, nothing to predict from, an
    unknown key, or a recording without speech.
    """
    if isinstance(source, Mapping):
        turns = [_turn(source)]
    elif isinstance(source, os.PathLike):
        turns = _file(Path(source))
    elif isinstance(source, str):
        if not source.strip():
            raise FeatureError("input", "a transcript with at least one word, or a file", repr(source))
        named = Path(source).suffix.lower() in {*TABLES, *SOUND_FILES, *CONTAINERS} and "\n" not in source
        turns = _file(Path(source)) if named else [_turn({"text": source})]
    elif isinstance(source, Sequence) and len(source):
        return [_turn(turn) for turn in source]
    else:
        expected = "a transcript, a media or csv file, a mapping, or a list of turns"
        raise FeatureError("input", expected, "an empty list" if isinstance(source, Sequence) else repr(source))
    return _cut(turns[0], longest, pause, shortest, by_voice) if len(turns) == 1 else turns


def conversations(turns: Sequence[Mapping]) -> list[list[int]]:
    """The places of the turns of each conversation, by `dialogue_id`; all turns are one where none has an id.

    Errors: FeatureError for an id that only some of the turns have.
    """
    names = [turn.get("dialogue_id") for turn in turns]
    if None in names and len(set(names)) > 1:
        raise FeatureError(
            "dialogue_id", "a value for each turn, or for none", f"none for turn {names.index(None) + 1}"
        )
    return [[place for place, name in enumerate(names) if name == one] for one in dict.fromkeys(names)]


def _turn(turn: object) -> dict:
    if not isinstance(turn, Mapping):
        raise FeatureError("utterance", "a mapping", type(turn).__name__)
    turn = {key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in turn.items()}
    check_dialogue([turn])
    if all(turn.get(key) is None for key in _TURN):
        raise FeatureError("utterance", f"any of {', '.join(_TURN)}", ", ".join(turn) or "nothing")
    return turn


def _file(path: Path) -> list[dict]:
    ending = path.suffix.lower()
    if not path.is_file():
        raise FeatureError(f"input {str(path)!r}", "an existing file", "a folder" if path.is_dir() else "no such file")
    if ending in TABLES:
        return _table(path)
    if ending in SOUND_FILES:
        return [{"audio": str(path)}]
    if ending in CONTAINERS:
        return [{"video" if has_track(path, "video") else "audio": str(path)}]
    known = ", ".join(sorted({*TABLES, *SOUND_FILES, *CONTAINERS}))
    raise FeatureError(f"input {str(path)!r}", f"a file that ends in one of {known}", repr(ending))


def _table(path: Path) -> list[dict]:
    """Turns of a csv or tsv file; other columns are left out, empty cells are missing, paths start at its folder."""
    turns, separator = [], TABLES[path.suffix.lower()]
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, strict=True, delimiter=separator)
            table.fieldnames = [name.strip().lower() for name in table.fieldnames or []]
            columns = _columns(path, table.fieldnames, separator)
            for row in table:
                turns.append(_cells(path, table.line_num, {name: row[name] for name in columns}, row))
    except (UnicodeDecodeError, csv.Error) as error:
        hint = "in a spreadsheet: save as CSV UTF-8" if isinstance(error, UnicodeDecodeError) else ""
        expected = f"{_SEPARATORS[separator]}-separated UTF-8 text"
        raise FeatureError(f"csv {str(path)!r}", expected, error, hint) from error
    if not turns:
        raise FeatureError(f"csv {str(path)!r}", "at least one row", "none")
    for name in ("speaker", "dialogue_id"):
        without = [turn for turn in turns if turn.get(name) is None]
        if 0 < len(without) < len(turns):
            where = f"{name} in utterance {turns.index(without[0]) + 1} of {str(path)!r}"
            raise FeatureError(where, "a value, as in other lines, or none in any line", "none")
    return turns


def _columns(path: Path, names: list[str], separator: str) -> list[str]:
    """The columns that a header names; raises FeatureError for none with anything to read, or for one twice."""
    columns = [name for name in names if name in UTTERANCE_KEYS]
    if not set(columns) & (set(_TURN) - {"mocap"}):
        expected = f"a header with any of {', '.join(name for name in _TURN if name != 'mocap')}"
        others = [
            what for mark, what in _SEPARATORS.items() if len(names) == 1 and mark != separator and mark in names[0]
        ]
        hint = f"the separator seems to be a {others[0]}" if others else ""
        raise FeatureError(f"csv {str(path)!r}", expected, ", ".join(names) or "an empty file", hint)
    for same in (*_SAME, *((name,) for name in columns)):
        found = [name for name in columns if name in same]
        if len(found) > 1:
            raise FeatureError(f"header of {str(path)!r}", f"one column {' or '.join(same)}", " and ".join(found))
    return columns


def _cells(path: Path, line: int, cells: dict, row: dict) -> dict:
    where = f"line {line} of {str(path)!r}"
    if None in row or None in row.values():
        raise FeatureError(where, "as many cells as the header", "more" if None in row else "fewer")
    turn: dict = {name: value for name, value in cells.items() if value.strip()}
    for name in _NUMBERS:
        if name in turn:
            try:
                turn[name] = float(turn[name])
            except ValueError:
                turn[name] = math.nan
            if not math.isfinite(turn[name]):
                raise FeatureError(f"{name} in {where}", "seconds", repr(cells[name]))
    for name in _MEDIA:
        if name in turn:
            turn[name] = str(path.parent / turn[name])
    if "party" in turn:
        turn["speaker"] = turn.pop("party")
    if not any(name in turn for name in _TURN):
        raise FeatureError(where, f"a value for any of {', '.join(_TURN)}", "none")
    return {name: turn[name] for name in turn if name not in ("label", "affect", "position")}


def _cut(turn: dict, longest: float, pause: float, shortest: float, by_voice: bool) -> list[dict]:
    """One turn, or the stretches of speech of a long recording that nobody cut, or even ones."""
    path = next((turn[name] for name in _MEDIA if isinstance(turn.get(name), str)), None)
    said = any(turn.get(name) is not None for name in ("text", "transcript", "mocap", "start", "end"))
    seen = path is not None and Path(path).suffix.lower() in CONTAINERS and has_track(path, "video")
    if path is None or said or (seen and by_voice and not has_track(path, "audio")):
        return [turn]
    if not isinstance(longest, Real):
        raise FeatureError("longest", "seconds above 0", repr(longest))
    seconds = audio_seconds(path) if by_voice or not seen else video_seconds(path)
    if seconds <= longest:
        return [{**turn, "start": 0.0, "end": seconds}]
    if not by_voice:
        edges = np.linspace(0, seconds, math.ceil(seconds / longest) + 1).tolist()
        return [{**turn, "start": start, "end": end} for start, end in pairwise(edges)]
    stretches = speech_stretches(path, longest, pause, shortest)
    if not stretches:
        raise FeatureError(f"input {path!r}", "a recording with speech", f"{seconds:.1f} s of silence")
    return [{**turn, "start": start, "end": end} for start, end in stretches]
