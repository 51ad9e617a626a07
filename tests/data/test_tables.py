"""Utterance tables: made-up ones, and the published counts of the real ones."""

import csv
import json
import logging
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from mm_emotion.data.rows import column_values
from mm_emotion.data.tables import iemocap_label, load_table
from mm_emotion.errors import CorpusError, FeatureError
from mm_emotion.schema import IEMOCAP_CODES, LABEL_SETS


def utterance(dialogue: str, turn: int, emotion: str, **values) -> dict:
    gender = "FM"[turn % 2]
    return {
        "utt_id": f"{dialogue}_{gender}{turn:03d}",
        "dialogue": dialogue,
        "session": int(dialogue[3:5]),
        "turn": turn,
        "speaker": gender,
        "kind": "impro",
        "start": 0.1 + turn,
        "end": 1.1 + turn,
        "text": f"word {turn}",
        "emotion": emotion,
        "valence": 2.5,
        "activation": 3.0,
        "dominance": 3.5,
        "split": "valid",
        "raters_cat": {"e1": {"labels": ["Anger", "Other"], "comment": ""}},
        "conv6_label": -1,
        **values,
    }


@pytest.fixture
def iemocap(tmp_path) -> Path:
    rows = [
        utterance("Ses02M_impro02", 1, "hap", conv6_label=0),
        utterance("Ses01F_impro01", 2, "exc"),
        utterance("Ses01F_impro01", 0, "xxx", conv6_label=0),
        utterance("Ses01F_impro01", 1, "ang", split="train"),
    ]
    (tmp_path / "utterances.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def labels_of(rows) -> list[str]:
    names = rows.features["label"].names
    return [names[label] for label in rows["label"]]


def test_rows_are_sorted_and_numbered(iemocap):
    rows = load_table(iemocap, corpus="iemocap", label_set="all")
    assert rows["utterance_id"][:] == [
        "Ses01F_impro01_F000",
        "Ses01F_impro01_M001",
        "Ses01F_impro01_F002",
        "Ses02M_impro02_M001",
    ]
    assert rows["position"][:] == [0, 1, 2, 0] and rows["party"][:] == [0, 1, 0, 0]
    assert labels_of(rows) == ["undecided", "angry", "excited", "happy"]
    first = rows[1]
    assert first["speaker"] == "Ses01M" and first["split"] == "train" and first["start"] == 1.1
    assert first["scenario"] == "improvised" and first["gender"] == "M" and first["session"] == 1
    assert json.loads(first["votes"]) == {"e1": ["ang", "oth"]} and first["audio_path"] == ""
    assert rows["split"][0] == "validation"


def test_rows_outside_the_label_set_are_left_out_before_numbering(iemocap):
    rows = load_table(iemocap / "utterances.jsonl", corpus="iemocap", label_set="six_way")
    assert rows["position"][:] == [0, 1, 0] and rows["party"][:] == [0, 1, 0]
    assert labels_of(load_table(iemocap, corpus="iemocap", label_set="six_way_dialogue")) == ["happy", "happy"]
    assert labels_of(load_table(iemocap, corpus="iemocap", label_set="four_way")) == ["angry", "happy", "happy"]
    assert labels_of(load_table(iemocap, corpus="iemocap", label_set="four_way_exc")) == ["angry", "excited"]


def test_an_affect_dimension_gives_affect(iemocap):
    rows = load_table(iemocap, corpus="iemocap", label_set="activation")
    assert rows["affect"][:] == [[3.0]] * 4 and "label" not in rows.column_names


@pytest.mark.parametrize(
    ("label_set", "codes"),
    [
        ("six_way", "hap sad neu ang exc fru"),
        ("six_way_dialogue", "hap sad neu ang exc fru"),
        ("four_way", "ang hap neu sad"),
        ("four_way_exc", "ang exc neu sad"),
        ("all", "hap sad neu ang exc fru sur fea dis oth xxx"),
    ],
)
def test_codes_follow_the_order_of_the_label_set(label_set, codes):
    assert [iemocap_label(code, label_set) for code in codes.split()] == list(range(len(codes.split())))
    assert len(codes.split()) == len(LABEL_SETS["iemocap"][label_set])
    others = set(IEMOCAP_CODES) - set(codes.split())
    merged = {"exc"} if label_set == "four_way" else set()
    assert {code for code in others if iemocap_label(code, label_set) is not None} == merged
    with pytest.raises(CorpusError, match="'joy'"):
        iemocap_label("joy", label_set)


def test_excited_counts_as_happy_in_four_way_only():
    assert iemocap_label("exc", "four_way") == iemocap_label("hap", "four_way")
    assert iemocap_label("hap", "four_way_exc") is None


def test_features_are_joined_by_id(iemocap, caplog):
    ids = ["Ses01F_impro01_F002", "Ses02M_impro02_M001", "Ses01F_impro01_F000"]
    np.savez(iemocap / "a.npz", utt_id=ids, level=np.arange(3.0), bands=np.arange(6).reshape(3, 2))
    with caplog.at_level(logging.WARNING):
        rows = load_table(iemocap, corpus="iemocap", label_set="all", features={"audio": ("a.npz", ["level", "bands"])})
    values = column_values(rows, "audio")
    assert values[1] is None
    assert [value.tolist() for value in values if value is not None] == [[2, 4, 5], [0, 0, 1], [1, 2, 3]]
    assert "1 of 4 utterances" in caplog.text


def test_bad_feature_files_are_refused(iemocap):
    def load(name, arrays=("a",)):
        return load_table(iemocap, corpus="iemocap", label_set="all", features={"audio": (name, arrays)})

    with pytest.raises(CorpusError, match="not there"):
        load("absent.npz")
    np.savez(iemocap / "ids.npz", utt_id=["nobody"], a=[1.0])
    with pytest.raises(CorpusError, match="none of their ids"):
        load("ids.npz")
    with pytest.raises(CorpusError, match="got b"):
        load("ids.npz", ["b"])
    np.savez(iemocap / "pickled.npz", utt_id=["nobody"], a=np.array([{}], dtype=object))
    with pytest.raises(CorpusError, match="without pickled objects"):
        load("pickled.npz")
    (iemocap / "text.npz").write_text("no archive", encoding="utf-8")
    with pytest.raises(CorpusError, match="npz file"):
        load("text.npz")
    np.savez(iemocap / "nan.npz", utt_id=["Ses01F_impro01_F000"], a=[np.nan])
    with pytest.raises(FeatureError, match="audio of utterance 'Ses01F_impro01_F000'"):
        load("nan.npz")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2: expected one JSON object"),
        ('{"utt_id": "x"}', "line 2: expected a known column and value"),
        (json.dumps(utterance("Ses01F_impro01", 3, "joy")), "line 2: expected well-formed values, got emotion code"),
        (json.dumps(utterance("Ses01F_impro01", 3, "ang", kind="play")), "line 2: expected a known column and value"),
        (json.dumps(utterance("Ses01F_impro01", 3, "ang") | {"turn": "third"}), "line 2: expected well-formed values"),
        (json.dumps(utterance("Ses01F_impro01", 1, "ang") | {"turn": 5}), "each id once"),
        ("[1]", "line 2: expected well-formed values"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, message):
    good = json.dumps(utterance("Ses01F_impro01", 1, "ang"))
    (tmp_path / "utterances.jsonl").write_text(f"{good}\n{line}\n", encoding="utf-8")
    with pytest.raises(CorpusError, match=message):
        load_table(tmp_path, corpus="iemocap", label_set="six_way")


def test_bad_requests_are_refused(tmp_path, iemocap):
    with pytest.raises(CorpusError, match="'semaine'"):
        load_table(iemocap, corpus="semaine", label_set="valence")
    with pytest.raises(CorpusError, match=r"one of six_way, .*dominance for iemocap, got 'five_way'"):
        load_table(iemocap, corpus="iemocap", label_set="five_way")
    with pytest.raises(CorpusError, match="a jsonl or csv table"):
        load_table(tmp_path / "absent", corpus="iemocap", label_set="all")
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(CorpusError, match="utterances with a label of all, got none"):
        load_table(tmp_path / "empty.jsonl", corpus="iemocap", label_set="all")


COLUMNS = ["Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime"]


def write_meld(folder: Path, **changes: dict) -> None:
    for part in ("train", "dev", "test"):
        values = ["Hi, you", "Ann", "joy", 3, 0, "00:01:02,500", "01:00:00,250"]
        row = dict(zip(COLUMNS, values, strict=True))
        rows = [row | {"Utterance_ID": 10}, row | {"Utterance_ID": 2, "Speaker": "Bob"}, row]
        with (folder / f"{part}_sent_emo.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(item | changes.get(part, {}) for item in rows)


def test_meld_takes_its_split_from_the_file_names(tmp_path):
    write_meld(tmp_path)
    rows = load_table(tmp_path, corpus="meld", label_set="seven_way")
    assert Counter(rows["split"][:]) == {"train": 3, "validation": 3, "test": 3}
    assert rows["utterance_id"][:3] == ["dev_dia3_utt0", "dev_dia3_utt2", "dev_dia3_utt10"]
    assert rows[1]["party"] == 1 and rows[0]["start"] == 62.5 and rows[0]["end"] == 3600.25
    assert labels_of(rows) == ["joy"] * 9
    (tmp_path / "test_sent_emo.csv").rename(tmp_path / "mine.csv")
    with pytest.raises(CorpusError, match="says no split"):
        load_table(tmp_path / "mine.csv", corpus="meld", label_set="seven_way")


@pytest.mark.parametrize(
    "change", [{"Emotion": "love"}, {"StartTime": "1:2"}, {"Utterance_ID": "two"}, {"EndTime": "a:b:c"}]
)
def test_bad_csv_values_are_named(tmp_path, change):
    write_meld(tmp_path, dev=change)
    with pytest.raises(CorpusError, match=r"dev_sent_emo.csv line 2: expected well-formed values"):
        load_table(tmp_path, corpus="meld", label_set="seven_way")


def test_text_in_another_encoding_is_refused(tmp_path):
    write_meld(tmp_path)
    (tmp_path / "dev_sent_emo.csv").write_bytes(b"Utterance\n\x92\n")
    with pytest.raises(CorpusError, match="UTF-8"):
        load_table(tmp_path, corpus="meld", label_set="seven_way")


def real(name: str) -> Path:
    root = os.environ.get("MM_EMOTION_DATA")
    if not root or not (Path(root) / name).exists():
        pytest.skip(f"MM_EMOTION_DATA holds no {name}")
    return Path(root) / name


@pytest.mark.corpus
@pytest.mark.parametrize(
    ("label_set", "counts"),
    [
        ("six_way", (7380, 1622)),
        ("six_way_dialogue", (7433, 1623)),
        ("four_way", (5531, 1241)),
        ("four_way_exc", (4936, 1098)),
        ("all", (10039, 2170)),
    ],
)
def test_iemocap_has_the_published_counts(label_set, counts):
    rows = load_table(real("iemocap"), corpus="iemocap", label_set=label_set)
    parts = Counter(rows["split"][:])
    assert (len(rows), parts["test"]) == counts
    if label_set == "six_way_dialogue":
        assert parts == {"train": 5163, "validation": 647, "test": 1623}
        assert Counter(rows["label"][:]) == {0: 648, 1: 1084, 2: 1708, 3: 1103, 4: 1041, 5: 1849}
        assert len(set(rows["dialogue_id"][:])) == 151 and len(set(rows["speaker"][:])) == 10


@pytest.mark.corpus
def test_meld_has_the_published_counts():
    rows = load_table(real("meld"), corpus="meld", label_set="seven_way")
    assert Counter(rows["split"][:]) == {"train": 9989, "validation": 1109, "test": 2610}
    assert len(set(rows["dialogue_id"][:])) == 1038 + 114 + 280


@pytest.mark.corpus
def test_mosi_has_the_published_counts():
    features = {"visual": ("bclstm_features.npz", ["video_3dcnn100"])}
    rows = load_table(real("mosi"), corpus="cmu_mosi", label_set="binary", features=features)
    assert Counter(rows["split"][:]) == {"train": 1447, "test": 752} and len(rows) == 2199
    assert len(set(rows["dialogue_id"][:])) == 93 and {len(value) for value in rows["visual"]} == {100}
