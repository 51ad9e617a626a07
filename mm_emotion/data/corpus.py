"""Corpora as datasets of utterances: find and open one, and group its rows into dialogues for a model."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import yaml
from datasets import Dataset, Features, List, Value, concatenate_datasets
from datasets.exceptions import DatasetGenerationError
from huggingface_hub import metadata_load

from mm_emotion.data.recordings import RECORDINGS, load_recordings
from mm_emotion.data.rows import check_rows, column_values
from mm_emotion.data.sequences import SEQUENCE_FILES, load_sequences
from mm_emotion.data.tables import ALIASES, load_table
from mm_emotion.errors import CorpusError
from mm_emotion.schema import AFFECT_DIMENSIONS, AFFECT_SETS, IGNORE_INDEX, LABEL_SETS

__all__ = ["TABLE_FEATURES", "DialogueDataset", "check_rows", "load_prepared", "load_table", "open_corpus"]

MEDIA_COLUMNS = ("utterance_id", "audio_path", "video_path", "start", "end")
"""What tells where the media of an utterance are."""

OWN_TABLES = (".csv", ".tsv", ".jsonl")
"""Endings of the tables that a user prepares."""

TABLE_FEATURES = {
    "iemocap": {"audio": ("prosody_disfluency.npz", ("global_prosody", "dis_nv", "ex_dn"))},
    "cmu_mosi": {
        "text": ("bclstm_features.npz", ("text_cnn100",)),
        "audio": ("bclstm_features.npz", ("audio_opensmile73",)),
        "visual": ("bclstm_features.npz", ("video_3dcnn100",)),
    },
}
"""Feature files that may lie beside an utterance table, per corpus and modality."""


def open_corpus(
    name: str, label_set: str, path: str | os.PathLike | None = None, features: Sequence[str] = ()
) -> Dataset:
    """Open a corpus by name from `path`, or from the folder of that name where the variable MM_EMOTION_DATA points.

    The place, or its subfolder named as the label set, is a folder written by `mm-emotion prepare`, an utterance table
    (`load_table`), or for RAVDESS and EmoDB a folder of the recordings themselves (`load_recordings`). `label_set` is a
    name of `schema.LABEL_SETS` or one affect dimension. `features` names feature columns that must be there; those of
    an utterance table come from TABLE_FEATURES. Raises CorpusError when there is nothing, or labels or features differ.
    """
    place = next((place for place in _places(name, label_set, path) if place.exists()), None)
    if place is None:
        raise _not_found(name, path)
    configs = _configs(place)
    if configs:
        rows = load_prepared(place, _config_name(configs, name, label_set))
        absent = [feature for feature in features if feature not in rows.column_names]
        if absent:
            raise CorpusError(
                f"features of {place}", ", ".join(features), f"no {', '.join(absent)}", "extract them first"
            )
        return _with_labels(rows, name, label_set)
    if name in RECORDINGS and next(place.rglob("*.wav"), None) is not None:
        if features:
            raise CorpusError(f"features of {place}", "none beside recordings", ", ".join(features))
        return load_recordings(place, corpus=name, label_set=label_set)
    if name in SEQUENCE_FILES and (place.is_file() or (place / SEQUENCE_FILES[name]).is_file()):
        rows = load_sequences(place, corpus=name, label_set=label_set)
        absent = [feature for feature in features if feature not in rows.column_names]
        if absent:
            raise CorpusError(f"features of {place}", "modalities that every part has", ", ".join(absent))
        return rows
    if name not in ALIASES or not (
        place.is_file() or any(place.glob("utterances.jsonl")) or any(place.glob("*_sent_emo.csv"))
    ):
        raise _not_found(name, place)
    known = TABLE_FEATURES.get(name, {})
    absent = [feature for feature in features if feature not in known]
    if absent:
        raise CorpusError(f"features of {place}", f"some of {', '.join(known) or 'none'}", ", ".join(absent))
    return load_table(
        place, corpus=name, label_set=label_set, features={feature: known[feature] for feature in features}
    )


def load_prepared(folder: str | os.PathLike, name: str | None = None) -> Dataset:
    """Read a prepared folder, the parquet files under `configs:` in its README.md, all splits as one checked dataset.

    A folder of parquet files without such a README.md is one configuration, "default". `name` chooses the one to read,
    and may be left out where there is one. Raises CorpusError when the folder, the configuration or a file is missing
    or malformed.
    """
    folder = Path(folder)
    configs = _configs(folder)
    if not configs:
        raise CorpusError(str(folder), "a prepared folder, of parquet files", "none")
    if name is None and len(configs) == 1:
        name = next(iter(configs))
    if name not in configs:
        raise CorpusError(f"configuration of {folder}", f"one of {', '.join(configs)}", repr(name))
    files = [file for pattern in configs[name] for file in sorted(folder.glob(pattern))]
    if not files:
        raise CorpusError(f"configuration {name} of {folder}", "parquet files", "none")
    try:
        # read apart, as load_dataset(folder) does not notice that files were written anew
        rows = concatenate_datasets([Dataset.from_parquet(str(file)) for file in files])
    except (DatasetGenerationError, ValueError) as error:
        raise CorpusError(f"configuration {name} of {folder}", "parquet files of the same columns", error) from error
    check_rows(rows)
    return rows


def _places(name: str, label_set: str, path: str | os.PathLike | None) -> Iterator[Path]:
    root = os.environ.get("MM_EMOTION_DATA")
    folders = [Path(root) / folder for folder in (name, name.removeprefix("cmu_"))] if root else []
    for place in folders if path is None else [Path(path)]:
        yield from (place / label_set, place)


def _not_found(name: str, path: str | os.PathLike | None) -> CorpusError:
    root = os.environ.get("MM_EMOTION_DATA")
    looked = path or (f"{root}/{name}" if root else "an unset MM_EMOTION_DATA")
    if path is not None and Path(path).suffix.lower() in OWN_TABLES and Path(path).is_file():
        hint = f"`mm-emotion prepare table --data {path} --out FOLDER` writes one"
        return CorpusError(f"corpus {name}", "a prepared folder", f"the table {path}", hint)
    return CorpusError(
        f"corpus {name}",
        "a prepared folder or an utterance table",
        f"nothing usable at {looked}",
        f"write one with `mm-emotion prepare {name}`, or set MM_EMOTION_DATA to the folder that holds {name}/",
    )


def _configs(folder: Path) -> dict[str, list[str]]:
    """Configurations of a prepared folder: name -> patterns of its files; none where the folder is another thing."""
    try:
        header = metadata_load(folder / "README.md") if (folder / "README.md").is_file() else None
        if header and "configs" in header:
            return {entry["config_name"]: _patterns(entry["data_files"]) for entry in header["configs"]}
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise CorpusError(str(folder / "README.md"), "configs with config_name and data_files", error) from error
    return {"default": ["*.parquet"]} if any(folder.glob("*.parquet")) else {}


def _patterns(data_files: list | str) -> list[str]:
    patterns = []
    for entry in [data_files] if isinstance(data_files, str) else data_files:
        paths = entry["path"] if isinstance(entry, dict) else entry
        patterns += [paths] if isinstance(paths, str) else paths
    outside = [pattern for pattern in patterns if Path(pattern).is_absolute() or ".." in Path(pattern).parts]
    if outside:
        raise ValueError(f"a file outside the folder, {outside[0]}")
    return patterns


def _config_name(configs: dict[str, list[str]], corpus: str, label_set: str) -> str | None:
    if label_set in configs:
        return label_set
    others = LABEL_SETS.get(corpus, {})
    if label_set in others and set(configs) <= set(others):  # two label sets may have the same names in the same order
        raise CorpusError(f"configuration of {corpus}", label_set, ", ".join(configs))
    return "all" if "all" in configs else None


def _with_labels(rows: Dataset, corpus: str, label_set: str) -> Dataset:
    """`rows` with the labels that were asked for: checked class names, or affect dimensions as `affect` (K,)."""
    if label_set in LABEL_SETS.get(corpus, {}):
        names = rows.features["label"].names if "label" in rows.column_names else ["no label column"]
        if label_set == "own" and "affect" in rows.column_names:
            raise CorpusError(f"labels of {corpus}", "classes", "numbers", "corpus.labels=affect for a regression")
        if tuple(names) != (LABEL_SETS[corpus][label_set] or tuple(names)):
            expected = ", ".join(LABEL_SETS[corpus][label_set])
            raise CorpusError(f"label names of {corpus}", f"{expected} ({label_set})", ", ".join(names))
        return rows
    dimensions = AFFECT_DIMENSIONS.get(corpus, ())
    sets = AFFECT_SETS.get(corpus, {})
    if label_set not in (*dimensions, *sets):
        expected = ", ".join([*LABEL_SETS.get(corpus, ()), *dimensions, *sets])
        raise CorpusError("label_set", f"one of {expected or 'none'} for {corpus}", repr(label_set))
    wanted = sets.get(label_set, (label_set,))
    if "affect" in rows.column_names:
        values = column_values(rows, "affect")
        widths = {len(value) for value in values if value is not None}
        if widths == {len(wanted)} and label_set in sets:  # prepared for this set alone
            return rows
        if widths - {len(dimensions)}:
            raise CorpusError(
                f"affect of {corpus}", f"{len(dimensions)} values ({', '.join(dimensions)})", "another number"
            )
        indices = [dimensions.index(name) for name in wanted]
        values = [None if value is None else value[indices] for value in values]
    else:
        columns = [column_values(rows, name) for name in wanted]
        values = [None if None in row else list(row) for row in zip(*columns, strict=True)]
    rows = rows.remove_columns([name for name in ("label", "affect") if name in rows.column_names])
    feature = Features({"affect": List(Value("float32"), length=len(wanted))})["affect"]
    return rows.add_column("affect", values, feature=feature)


class DialogueDataset(torch.utils.data.Dataset):
    """Rows grouped for a model: item i is a list of utterance rows in position order, as EmotionCollator takes it.

    `unit` is "dialogue", or "utterance" for lists of one row. A row holds utterance_id, dialogue_id, party, the
    `columns`, and `label` or `affect` where the rows have one. `made` adds columns that are too large to keep, each a
    function of the row's media columns that is called whenever its item is taken. `dialogue_ids` and `lengths` have one
    entry an item; `labels` holds the labels of all items end to end, (N,) int64 with -100 or (N, K) float32 with NaN
    where there is none, and is None for rows without a label column. Raises CorpusError for no rows or an unknown
    column or unit.
    """

    def __init__(
        self,
        rows: Dataset,
        *,
        unit: str,
        columns: Sequence[str],
        made: Mapping[str, Callable[[dict], np.ndarray | None]] | None = None,
    ):
        if unit not in ("dialogue", "utterance"):
            raise CorpusError("unit", "dialogue or utterance", repr(unit))
        if len(rows) == 0:
            raise CorpusError("rows", "at least one utterance", "none")
        targets = [name for name in ("label", "affect") if name in rows.column_names]
        names = dict.fromkeys(["utterance_id", "dialogue_id", "party", *columns, *targets])
        self._columns = {name: column_values(rows, name) for name in names}
        self._made = dict(made or {})
        self._media = {name: column_values(rows, name) for name in MEDIA_COLUMNS} if self._made else {}
        dialogues: dict[str, list[int]] = {}
        for index, dialogue_id in enumerate(self._columns["dialogue_id"]):
            dialogues.setdefault(dialogue_id, []).append(index)
        positions = column_values(rows, "position")
        for indices in dialogues.values():
            indices.sort(key=positions.__getitem__)
        if unit == "dialogue":
            self._items = list(dialogues.values())
        else:
            self._items = [[index] for indices in dialogues.values() for index in indices]
        self.dialogue_ids: list[str] = [self._columns["dialogue_id"][indices[0]] for indices in self._items]
        self.lengths: list[int] = [len(indices) for indices in self._items]
        self.labels = self._labels()

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, item: int) -> list[dict]:
        rows = [{name: values[index] for name, values in self._columns.items()} for index in self._items[item]]
        for row, index in zip(rows, self._items[item], strict=True) if self._made else ():
            media = {name: values[index] for name, values in self._media.items()}
            row.update({name: make(media) for name, make in self._made.items()})
        return rows

    def _labels(self) -> np.ndarray | None:
        order = [index for indices in self._items for index in indices]
        if "label" in self._columns:
            labels = [self._columns["label"][index] for index in order]
            return np.array([IGNORE_INDEX if label is None else label for label in labels], dtype=np.int64)
        if "affect" not in self._columns:
            return None
        values = [self._columns["affect"][index] for index in order]
        width = max((len(value) for value in values if value is not None), default=1)
        labels = np.full((len(values), width), np.nan, dtype=np.float32)
        for row, value in zip(labels, values, strict=True):
            if value is not None:
                row[:] = value
        return labels
