"""Utterance tables (one jsonl or csv line an utterance) to rows of the data contract."""

import csv
import json
import logging
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path

import numpy as np
from datasets import ClassLabel, Dataset, Features, List, Value

from mm_emotion.data.arrays import opened
from mm_emotion.data.rows import CONTRACT_COLUMNS, check_rows
from mm_emotion.errors import CorpusError
from mm_emotion.schema import AFFECT_DIMENSIONS, IEMOCAP_CODES, IEMOCAP_VOTES, LABEL_SETS

logger = logging.getLogger(__name__)

FeatureSource = tuple[str | os.PathLike, Sequence[str]]
"""An npz file, and the names of its arrays (N,) or (N, D) that are joined to one vector."""

_OWN_COLUMNS = {
    "iemocap": {
        "valence": Value("float32"),
        "activation": Value("float32"),
        "dominance": Value("float32"),
        "votes": Value("string"),
        "scenario": Value("string"),
        "gender": Value("string"),
        "session": Value("int32"),
    },
    "cmu_mosi": {"sdk_fold": Value("string")},
}
"""What the tables of a corpus say beside the contract's columns."""

_SPLIT_NAMES = {"valid": "validation", "dev": "validation"}

ALIASES = {
    "iemocap": {
        "utterance_id": "utt_id",
        "dialogue_id": "dialogue",
        "order": "turn",
        "transcript": "text",
        "start": "start",
        "end": "end",
        "split": "split",
        "valence": "valence",
        "activation": "activation",
        "dominance": "dominance",
        "gender": "speaker",
        "session": "session",
    },
    "cmu_mosi": {
        "utterance_id": "utt_id",
        "dialogue_id": "video",
        "order": "segment",
        "speaker": "video",
        "transcript": "text",
        "start": "start",
        "end": "end",
        "split": "bclstm_split",
    },
    "meld": {"order": "Utterance_ID", "speaker": "Speaker", "transcript": "Utterance"},
}
"""Contract column -> table column per corpus; `order` sorts a dialogue and becomes `position`."""


def iemocap_label(code: str, label_set: str) -> int | None:
    """Label id of a release code ("hap", ..., "xxx") in an IEMOCAP label set, None where the set leaves it out.

    `four_way` counts excited as happy; `four_way_exc` keeps excited and leaves happy out. `six_way_dialogue` has its
    own label list (53 utterances without consensus count as happy): codes give it the labels of `six_way`.
    """
    if code not in IEMOCAP_CODES:
        raise CorpusError("emotion code", f"one of {', '.join(IEMOCAP_CODES)}", repr(code))
    name = "happy" if (code, label_set) == ("exc", "four_way") else IEMOCAP_CODES[code]
    names = LABEL_SETS["iemocap"][label_set]
    return names.index(name) if name in names else None


def load_table(
    path: str | os.PathLike,
    *,
    corpus: str,
    label_set: str,
    features: Mapping[str, FeatureSource] | None = None,
) -> Dataset:
    """Read an utterance table of `corpus` as checked rows of the data contract, those without a label left out.

    `path` is a jsonl or csv file, or a folder that holds `utterances.jsonl` or MELD's three csv files. `label_set` is a
    name of `schema.LABEL_SETS` or one affect dimension of the corpus, which gives `affect` (1,). `features` adds vector
    columns from npz files (paths relative to the table's folder) joined by utterance id; an utterance without an entry
    gets None, and their number is logged. Raises CorpusError with file and line.
    """
    if corpus not in ALIASES:
        raise CorpusError("corpus", f"one of {', '.join(ALIASES)}", repr(corpus))
    label_feature = _label_feature(corpus, label_set)
    files = _table_files(Path(path))
    rows = [row for file in files for row in _contract_rows(file, corpus, label_set)]
    if not rows:
        raise CorpusError(str(path), f"utterances with a label of {label_set}", "none")
    rows.sort(key=lambda row: (row["dialogue_id"], row["order"]))
    _number(rows)
    columns = {
        **CONTRACT_COLUMNS,
        **_OWN_COLUMNS.get(corpus, {}),
        ("label" if isinstance(label_feature, ClassLabel) else "affect"): label_feature,
    }
    table = {name: [row[name] for row in rows] for name in columns}
    for name, (file, arrays) in (features or {}).items():
        columns[name] = List(Value("float32"))
        table[name] = _join(files[0].parent / file, name, arrays, table["utterance_id"])
    dataset = Dataset.from_dict(table, features=Features(columns))
    check_rows(dataset)
    return dataset


def _label_feature(corpus: str, label_set: str) -> ClassLabel | List:
    if label_set in LABEL_SETS[corpus]:
        return ClassLabel(names=list(LABEL_SETS[corpus][label_set]))
    dimensions = AFFECT_DIMENSIONS.get(corpus, ())
    if label_set not in dimensions:
        expected = ", ".join((*LABEL_SETS[corpus], *dimensions))
        raise CorpusError("label_set", f"one of {expected} for {corpus}", repr(label_set))
    return List(Value("float32"), length=1)


def _table_files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if (path / "utterances.jsonl").is_file():
        return [path / "utterances.jsonl"]
    files = [path / f"{part}_sent_emo.csv" for part in ("train", "dev", "test")]
    if not all(file.is_file() for file in files):
        raise CorpusError(str(path), "a jsonl or csv table, or a folder of one", "neither")
    return files


def _contract_rows(file: Path, corpus: str, label_set: str) -> Iterator[dict]:
    derive = _DERIVE[corpus]
    for line, raw in _raw_rows(file):
        where = f"{file} line {line}"
        try:
            row = {"start": math.nan, "end": math.nan, "audio_path": "", "video_path": ""}
            row |= {name: raw[column] for name, column in ALIASES[corpus].items()}
            row |= derive(raw, label_set, file)
            row["split"] = _SPLIT_NAMES.get(row["split"], row["split"])
            row["order"] = int(row["order"])
        except KeyError as error:
            hint = "a table of your own: `mm-emotion prepare table`, `mm-emotion train --from`"
            raise CorpusError(where, f"a known column and value of {corpus}", f"no {error}", hint) from None
        except (TypeError, ValueError, AttributeError) as error:
            raise CorpusError(where, "well-formed values", error) from None
        if row.get("label", row.get("affect")) is not None:
            yield row


def _raw_rows(file: Path) -> Iterator[tuple[int, dict]]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            if file.suffix == ".csv":
                reader = csv.DictReader(stream, strict=True)
                for raw in reader:
                    yield reader.line_num, raw
            else:
                for line, text in zip(count(1), stream):
                    yield line, json.loads(text)
    except json.JSONDecodeError as error:
        raise CorpusError(f"{file} line {line}", "one JSON object", error) from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise CorpusError(str(file), "a readable table in UTF-8", error) from None


def _derive_iemocap(raw: Mapping, label_set: str, file: Path) -> dict:
    row = {
        "speaker": f"Ses{int(raw['session']):02d}{raw['speaker']}",
        "scenario": {"impro": "improvised", "script": "scripted"}[raw["kind"]],
        "votes": json.dumps(
            {rater: [IEMOCAP_VOTES[word] for word in vote["labels"]] for rater, vote in raw["raters_cat"].items()}
        ),
    }
    if label_set in AFFECT_DIMENSIONS["iemocap"]:
        return row | {"affect": [float(raw[label_set])]}
    if label_set == "six_way_dialogue":
        return row | {"label": raw["conv6_label"] if raw["conv6_label"] >= 0 else None}
    return row | {"label": iemocap_label(raw["emotion"], label_set)}


def _derive_mosi(raw: Mapping, label_set: str, file: Path) -> dict:
    fold = raw.get("sdk_fold")  # the SDK's own split, which is not that of bc-LSTM
    target = {"affect": [float(raw["sentiment"])]} if label_set == "sentiment" else {"label": raw["label_binary"]}
    return {**target, "sdk_fold": _SPLIT_NAMES.get(fold, fold)}


def _derive_meld(raw: Mapping, label_set: str, file: Path) -> dict:
    part = file.name.split("_", 1)[0]
    if part not in ("train", "dev", "test"):
        raise ValueError("the file name says no split: it begins with neither train_, dev_ nor test_")
    dialogue_id = f"{part}_dia{int(raw['Dialogue_ID'])}"
    return {
        "dialogue_id": dialogue_id,
        "utterance_id": f"{dialogue_id}_utt{int(raw['Utterance_ID'])}",
        "start": _seconds(raw["StartTime"]),
        "end": _seconds(raw["EndTime"]),
        "split": part,
        "label": LABEL_SETS["meld"][label_set].index(raw["Sentiment" if label_set == "three_way" else "Emotion"]),
    }


_DERIVE: dict[str, Callable[[Mapping, str, Path], dict]] = {
    "iemocap": _derive_iemocap,
    "cmu_mosi": _derive_mosi,
    "meld": _derive_meld,
}


def _seconds(clock: str) -> float:
    hours, minutes, seconds = clock.replace(",", ".").split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _number(rows: list[dict]) -> None:
    """Give sorted rows their `position` and `party`, counted within the dialogue."""
    dialogue_id, parties = None, {}
    for row in rows:
        if row["dialogue_id"] != dialogue_id:
            dialogue_id, parties, positions = row["dialogue_id"], {}, count()
        row["position"] = next(positions)
        row["party"] = parties.setdefault(row["speaker"], len(parties))


def _join(file: Path, name: str, arrays: Sequence[str], utterance_ids: Sequence[str]) -> list[np.ndarray | None]:
    if not file.is_file():
        raise CorpusError(f"features of {name}", "an npz file", f"{file}, which is not there")
    with opened(file) as archive:
        missing = [key for key in ("utt_id", *arrays) if key not in archive.files]
        if missing:
            raise CorpusError(str(file), f"arrays among {', '.join(archive.files)}", ", ".join(missing))
        parts = [archive[key].astype(np.float32) for key in arrays]
        found = {key: number for number, key in enumerate(archive["utt_id"].tolist())}
    table = np.concatenate([part.reshape(len(part), -1) for part in parts], axis=1)  # (N, D)
    absent = sum(key not in found for key in utterance_ids)
    if absent == len(utterance_ids):
        raise CorpusError(str(file), "features of these utterances", "none of their ids")
    if absent:
        logger.warning("%s: %d of %d utterances have no features in %s", name, absent, len(utterance_ids), file.name)
    return [table[found[key]] if key in found else None for key in utterance_ids]
