"""CMU-MOSI as bc-LSTM used it (Poria et al., 2017): one vector a modality and utterance, in one .npz or .csv file.

Arrays of an .npz, N utterances: `utt_id`, `video_id` (N,) text, `segment` (N,), `sentiment` (N,) from -3 to 3, at least
one of VECTORS (N, D); if there are `split` and `sdk_fold` (N,) text, `interval_s` (N, 2), `label_binary` (N,). A .csv
has columns of these names, where numbers that belong together are parted by blanks. Transcripts are read from column
`text`, or from an `utterances.jsonl` beside with `utt_id` and `text`.
"""

from collections import Counter
from pathlib import Path
from zipfile import BadZipFile
from zlib import error as ZlibError

import numpy as np

from datasets_scripts._builder import Manifest, number_dialogues
from datasets_scripts._table_files import read_table
from mm_emotion.errors import CorpusError

VECTORS = {"text": "text_cnn100", "audio": "audio_opensmile73", "visual": "video_3dcnn100"}
"""Modality -> array."""

FOLDS = {"train": "train", "valid": "validation", "validation": "validation", "dev": "validation", "test": "test"}

_TEXTS = {"utt_id": True, "video_id": True, "split": False, "sdk_fold": False, "text": False}
_NUMBERS = {"segment": True, "sentiment": True, "label_binary": False, "interval_s": False}
"""Array -> whether it must be there."""

_AXES = dict.fromkeys([*_TEXTS, "segment", "sentiment", "label_binary"], 1)
"""The others have two."""

Arrays = dict[str, np.ndarray]


def find_table(root: Path) -> Path:
    """The one .npz or .csv file in the folder; raises CorpusError."""
    paths = sorted(path for path in root.iterdir() if path.suffix.lower() in (".npz", ".csv"))
    if len(paths) != 1:
        raise CorpusError(str(root), "one file .npz or .csv", ", ".join(path.name for path in paths) or "none")
    return paths[0]


def read_arrays(path: Path) -> Arrays:
    """The arrays of the table, checked to fit each other, numbers as float64; raises CorpusError."""
    arrays = _read_npz(path) if path.suffix.lower() == ".npz" else _read_csv(path)
    needed = [name for name, must in (_TEXTS | _NUMBERS).items() if must]
    absent = [name for name in needed if name not in arrays]
    if absent or not any(name in arrays for name in VECTORS.values()):
        expected = f"{', '.join(needed)} and one of {', '.join(VECTORS.values())}"
        raise CorpusError(f"arrays of {path}", expected, ", ".join(arrays) or "none")
    count = len(arrays["utt_id"]) if arrays["utt_id"].ndim else 0
    for name, array in arrays.items():
        shape = "(N,)" if name in _AXES else "(N, 2)" if name == "interval_s" else "(N, D)"
        fits = array.ndim == _AXES.get(name, 2) and len(array) == count
        if not fits or (name == "interval_s" and array.shape[1] != 2):
            raise CorpusError(f"{path}, {name}", f"shape {shape} of {count} utterances", array.shape)
    twice = [name for name, number in Counter(arrays["utt_id"].tolist()).items() if number > 1]
    if twice:
        raise CorpusError(f"{path}, utt_id", "each utterance once", repr(twice[0]))
    return arrays


def table_rows(path: Path, arrays: Arrays, manifest: Manifest) -> list[dict]:
    """Numbered rows of the table; raises CorpusError where a value is none of its kind."""
    texts, rows = _transcripts(path, arrays), []
    splits = {name: _parts(path, arrays, name) for name in ("split", "sdk_fold")}
    for index, name in enumerate(arrays["utt_id"].tolist()):
        video, segment = str(arrays["video_id"][index]), arrays["segment"][index]
        start, end = arrays["interval_s"][index].tolist() if "interval_s" in arrays else (np.nan, np.nan)
        sentiment = float(arrays["sentiment"][index])
        if not abs(sentiment) <= 3:
            raise CorpusError(f"{path}, {name}, sentiment", "a number from -3 to 3", sentiment)
        if not float(segment).is_integer():
            raise CorpusError(f"{path}, {name}, segment", "a whole number", segment)
        if "label_binary" in arrays and arrays["label_binary"][index] != (sentiment >= 0):
            manifest.note("disagreeing", "label_binary with the sentiment, which counts", name)
        if name not in texts:
            manifest.note("missing", "transcript", name)
        row = {
            "utterance_id": name,
            "dialogue_id": video,
            "speaker": video,
            "transcript": texts.get(name, ""),
            "audio_path": "",
            "video_path": "",
            "start": start,
            "end": end,
            "split": splits["split"][index],
            "sdk_fold": splits["sdk_fold"][index],
            "segment": int(segment),
            "label": "positive" if sentiment >= 0 else "negative",
            "sentiment": sentiment,
        }
        rows.append(row | _vectors(path, arrays, index, name, manifest))
    manifest.found["sentiment of exactly 0"] = int((arrays["sentiment"] == 0).sum())
    manifest.found["videos"] = len({row["dialogue_id"] for row in rows})
    numbered = number_dialogues(rows, lambda row: (row["segment"], row["utterance_id"]))
    return [{name: value for name, value in row.items() if name != "segment"} for row in numbered]


def _vectors(path: Path, arrays: Arrays, index: int, name: str, manifest: Manifest) -> dict[str, np.ndarray | None]:
    """The vectors of one utterance, None where a modality has no number at all."""
    found: dict[str, np.ndarray | None] = {}
    for modality, array in VECTORS.items():
        if array not in arrays:
            continue
        vector = arrays[array][index].astype(np.float32)
        bad = ~np.isfinite(vector)
        if bad.all():
            manifest.note("missing", array, name)
        elif bad.any():
            manifest.found[f"values not finite, taken as 0, in {array} of {path.name}"] += int(bad.sum())
        found[modality] = None if bad.all() else np.where(bad, np.float32(0), vector)
    return found


def _parts(path: Path, arrays: Arrays, name: str) -> list[str]:
    given = arrays[name].tolist() if name in arrays else ["all"] * len(arrays["utt_id"])
    unknown = sorted({part for part in given if part not in FOLDS}) if name in arrays else []
    if unknown:
        raise CorpusError(f"{path}, {name}", f"one of {', '.join(FOLDS)}", repr(unknown[0]))
    return [FOLDS.get(part, part) for part in given]


def _transcripts(path: Path, arrays: Arrays) -> dict[str, str]:
    if "text" in arrays:
        return dict(zip(arrays["utt_id"].tolist(), arrays["text"].tolist(), strict=True))
    beside = path.parent / "utterances.jsonl"
    if not beside.is_file():
        return {}
    return {row["utt_id"]: row["text"] for _, row in read_table(beside) if row.get("utt_id") and row.get("text")}


def _read_npz(path: Path) -> Arrays:
    arrays: Arrays = {}
    known = {*_TEXTS, *_NUMBERS, *VECTORS.values()}
    try:
        # numpy leaves a damaged file open that it opened itself
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for name in (name for name in archive.files if name in known):
                array = archive[name]
                kinds, kind = ("U", "text") if name in _TEXTS else ("fiub", "numbers")
                if array.dtype.kind not in kinds:
                    raise CorpusError(f"{path}, {name}", kind, array.dtype)
                arrays[name] = array if name in _TEXTS else array.astype(np.float64)
    except (
        BadZipFile,
        ZlibError,
        ValueError,
        TypeError,
        OSError,
        EOFError,
        KeyError,
        RuntimeError,
        MemoryError,
    ) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(str(path), "a whole npz file without pickled objects", str(error)[:200]) from error
    return arrays


def _read_csv(path: Path) -> Arrays:
    lines = list(read_table(path))
    arrays: Arrays = {}
    for name in lines[0][1] if lines else ():
        texts = [row[name] for _, row in lines]
        if name in _TEXTS:
            arrays[name] = np.array(texts)
        elif name in _NUMBERS or name in VECTORS.values():
            arrays[name] = _numbers([f"{path}, line {line}, {name}" for line, _ in lines], texts, _AXES.get(name, 2))
    return arrays


def _numbers(places: list[str], texts: list[str], axes: int) -> np.ndarray:
    """One number a text, (N,), or as many as the longest has, (N, D), where an empty text is D times NaN."""
    values = [_floats(place, text) for place, text in zip(places, texts, strict=True)]
    width = 1 if axes == 1 else max(map(len, values))
    for place, row in zip(places, values, strict=True):
        if len(row) != width and (row or axes == 1):
            raise CorpusError(place, f"{width} numbers" if axes == 2 else "one number", len(row))
    table = np.array([row or [np.nan] * width for row in values])
    return table[:, 0] if axes == 1 else table


def _floats(place: str, text: str) -> list[float]:
    try:
        return [float(number) for number in text.split()]
    except ValueError as error:
        raise CorpusError(place, "numbers parted by blanks", error) from error
