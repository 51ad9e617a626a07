"""Aligned sequences in one file per corpus, as the Memory Fusion Network's authors passed theirs on, as rows.

The npz file holds, for each part of the corpus, one array of each modality, `audio_train` (N, T, D), and the values
`y_train` (N,). As in the authors' code, each value is divided by the greatest that it has in the train part. The file
says neither who speaks nor what belongs to one recording: each row is a dialogue of its own, and all rows share the
speaker "", so that no split passes for speaker-independent.
"""

import os
from pathlib import Path

import numpy as np
from datasets import Dataset, Features, List, Value

from mm_emotion.data.arrays import opened
from mm_emotion.data.rows import CONTRACT_COLUMNS, check_rows
from mm_emotion.errors import CorpusError
from mm_emotion.schema import AFFECT_DIMENSIONS, SPLITS

SEQUENCE_FILES = {"mmmo": "mmmo.npz"}
"""Corpus -> the name of its file."""

_PARTS = {"train": "train", "validation": "valid", "test": "test"}
_NAMES = {"text": "text", "audio": "audio", "visual": "video"}


def load_sequences(path: str | os.PathLike, *, corpus: str, label_set: str) -> Dataset:
    """The file, or the one in the folder `path`, as checked rows with every modality that all three parts have.

    Raises:
        CorpusError: an unknown corpus or dimension, no such file, or arrays that are missing or do not fit.
    """
    if corpus not in SEQUENCE_FILES or label_set not in AFFECT_DIMENSIONS[corpus]:
        known = [f"{name} {dimension}" for name in SEQUENCE_FILES for dimension in AFFECT_DIMENSIONS[name]]
        raise CorpusError("corpus and label_set", f"one of {', '.join(known)}", f"{corpus} {label_set}")
    file = Path(path) / SEQUENCE_FILES[corpus] if Path(path).is_dir() else Path(path)
    arrays = _read(file)
    modalities = [name for name, stem in _NAMES.items() if all(f"{stem}_{part}" in arrays for part in _PARTS.values())]
    if not modalities:
        raise CorpusError(str(file), "arrays such as audio_train, audio_valid and audio_test", ", ".join(arrays))
    columns = {**CONTRACT_COLUMNS, "affect": List(Value("float32"), length=1)}
    columns |= {name: List(List(Value("float32"))) for name in modalities}
    table: dict[str, list] = {name: [] for name in columns}
    scales = {name: _scale(_array(file, arrays, f"{_NAMES[name]}_train", 3)) for name in modalities}
    for split in sorted(SPLITS):
        labels = _array(file, arrays, f"y_{_PARTS[split]}", 1)
        ids = [f"{split}_{index:05d}" for index in range(len(labels))]
        same = {"position": 0, "party": 0, "start": np.nan, "end": np.nan, "split": split}
        for name in CONTRACT_COLUMNS:
            own = ids if name in ("utterance_id", "dialogue_id") else [same.get(name, "")] * len(ids)
            table[name] += own
        table["affect"] += labels.astype(np.float32)[:, None].tolist()
        for name in modalities:
            field = f"{_NAMES[name]}_{_PARTS[split]}"
            values = _array(file, arrays, field, 3)
            if len(values) != len(labels):
                raise CorpusError(f"{field} of {file}", f"{len(labels)} rows, as many as labels", len(values))
            if values.shape[2:] != scales[name].shape:
                raise CorpusError(f"{field} of {file}", f"{len(scales[name])} values a step", values.shape[2])
            table[name] += list((values / scales[name]).astype(np.float32))
    dataset = Dataset.from_dict(table, features=Features(columns))
    check_rows(dataset)
    return dataset


def _scale(values: np.ndarray) -> np.ndarray:
    """The greatest size (D,) of each value of (N, T, D), 1 where it is always 0."""
    greatest = np.abs(values).max(axis=(0, 1))
    return np.where(greatest > 0, greatest, 1)


def _read(file: Path) -> dict[str, np.ndarray]:
    if not file.is_file():
        raise CorpusError(str(file), "an npz file of sequences", "no such file")
    with opened(file) as archive:
        return {name: archive[name] for name in archive.files}


def _array(file: Path, arrays: dict[str, np.ndarray], name: str, axes: int) -> np.ndarray:
    if name not in arrays:
        raise CorpusError(str(file), f"an array {name}", ", ".join(arrays) or "none")
    array = arrays[name]
    if array.ndim != axes or not len(array) or array.dtype.kind != "f":
        raise CorpusError(f"{name} of {file}", f"floating-point values of {axes} axes", f"{array.dtype} {array.shape}")
    if axes == 1 and not np.isfinite(array).all():
        raise CorpusError(f"{name} of {file}", "finite values", "others")
    return array
