"""What a user hands over to be predicted: words, a clip, a mapping, a list of turns or a csv file, as utterances."""

import csv
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mm_emotion.errors import FeatureError
from mm_emotion.features.column import check_known
from mm_emotion.features.media import has_track
from mm_emotion.features.processor import UTTERANCE_KEYS
from mm_emotion.features.sound import CONTAINERS, audio_seconds
from mm_emotion.features.voice_activity import LONGEST, PAUSE, SHORTEST, speech_stretches

SOUND_FILES = frozenset((".aif", ".aiff", ".au", ".flac", ".mp3", ".oga", ".ogg", ".opus", ".w64", ".wav"))
"""File endings that are read as sound; those of `CONTAINERS` are read as video or, without pictures, as sound."""

_MEDIA = ("audio", "audio_path", "video", "video_path")
_TURN = ("text", "transcript", *_MEDIA, "mocap")
_NUMBERS = ("start", "end")

Source = str | os.PathLike | Mapping | Sequence[Mapping]


def read_turns(
    source: Source, longest: float = LONGEST, pause: float = PAUSE, shortest: float = SHORTEST
) -> list[dict]:
    """The utterances of one conversation, each a mapping of `UTTERANCE_KEYS`.

    `source` is a transcript, a sound or video file, a mapping of one utterance, a list of such mappings (the turns), or
    a csv file of turns. A recording of more than `longest` s that comes without words and without an `end` is cut by
    voice activity (`speech_stretches`). Errors: FeatureError, which names the file, row or key, for a missing or
    unreadable file, nothing to predict from, an unknown key, or a recording without speech.
    """
    if isinstance(source, Mapping):
        turns = [_turn(source)]
    elif isinstance(source, os.PathLike):
        turns = _file(Path(source))
    elif isinstance(source, str):
        named = Path(source).suffix.lower() in {".csv", *SOUND_FILES, *CONTAINERS} and "\n" not in source
        turns = _file(Path(source)) if named else [_turn({"text": source})]
    elif isinstance(source, Sequence) and len(source):
        return [_turn(turn) for turn in source]
    else:
        expected = "a transcript, a media or csv file, a mapping, or a list of turns"
        raise FeatureError("input", expected, "an empty list" if isinstance(source, Sequence) else repr(source))
    return _cut(turns[0], longest, pause, shortest) if len(turns) == 1 else turns


def _turn(turn: object) -> dict:
    if not isinstance(turn, Mapping):
        raise FeatureError("utterance", "a mapping", type(turn).__name__)
    check_known("utterance", turn, UTTERANCE_KEYS)
    turn = {key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in turn.items()}
    if all(turn.get(key) is None for key in _TURN):
        raise FeatureError("utterance", f"any of {', '.join(_TURN)}", ", ".join(turn) or "nothing")
    return turn


def _file(path: Path) -> list[dict]:
    ending = path.suffix.lower()
    if not path.is_file():
        raise FeatureError(f"input {str(path)!r}", "an existing file", "a folder" if path.is_dir() else "no such file")
    if ending == ".csv":
        return _table(path)
    if ending in SOUND_FILES:
        return [{"audio": str(path)}]
    if ending in CONTAINERS:
        return [{"video" if has_track(path, "video") else "audio": str(path)}]
    known = ", ".join(sorted({".csv", *SOUND_FILES, *CONTAINERS}))
    raise FeatureError(f"input {str(path)!r}", f"a file that ends in one of {known}", repr(ending))


def _table(path: Path) -> list[dict]:
    """Turns of a csv file; other columns are left out, empty cells are missing, paths start at the file's folder."""
    turns = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file, strict=True)
            columns = [name for name in table.fieldnames or [] if name in UTTERANCE_KEYS]
            if not set(columns) & (set(_TURN) - {"mocap"}):
                expected = f"a header with any of {', '.join(name for name in _TURN if name != 'mocap')}"
                raise FeatureError(f"csv {str(path)!r}", expected, ", ".join(table.fieldnames or []) or "an empty file")
            for row in table:
                turns.append(_cells(path, table.line_num, {name: row[name] for name in columns}, row))
    except (UnicodeDecodeError, csv.Error) as error:
        raise FeatureError(f"csv {str(path)!r}", "comma-separated UTF-8 text", error) from error
    if not turns:
        raise FeatureError(f"csv {str(path)!r}", "at least one row", "none")
    return turns


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


def _cut(turn: dict, longest: float, pause: float, shortest: float) -> list[dict]:
    """One turn, or the stretches of speech of a long recording that nobody cut."""
    path = next((turn[name] for name in _MEDIA if isinstance(turn.get(name), str)), None)
    said = any(turn.get(name) is not None for name in ("text", "transcript", "mocap", "start", "end"))
    if path is None or said or (Path(path).suffix.lower() in CONTAINERS and not has_track(path, "audio")):
        return [turn]
    seconds = audio_seconds(path)
    if seconds <= longest:
        return [{**turn, "start": 0.0, "end": seconds}]
    stretches = speech_stretches(path, longest, pause, shortest)
    if not stretches:
        raise FeatureError(f"input {path!r}", "a recording with speech", f"{seconds:.1f} s of silence")
    return [{**turn, "start": start, "end": end} for start, end in stretches]
