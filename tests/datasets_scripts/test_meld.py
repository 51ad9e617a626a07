import os
from pathlib import Path

import pytest

from datasets_scripts._builder import prepare
from datasets_scripts.meld import Meld
from mm_emotion.data.corpus import load_prepared, open_corpus
from mm_emotion.data.splits import resolve_split, validate_split
from mm_emotion.errors import CorpusError

HEAD = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime\n"
TRAIN = HEAD + (
    '1,"Well, hello.",Ada,joy,positive,0,0,1,2,"00:00:01,500","00:00:02,000"\n'
    '2,No.,Bea,anger,negative,0,2,1,2,"00:00:03,000","00:00:02,000"\n'
    '3,Yes.,Ada,neutral,neutral,2,0,1,2,"01:00:03,000","01:00:04,000"\n'
)
DEV = HEAD + '1,Hm.,Ada,fear,negative,110,7,1,2,"00:00:03,000","00:00:04,000"\n'


@pytest.fixture
def raw(tmp_path):
    folder = tmp_path / "raw"
    (folder / "train_splits").mkdir(parents=True)
    (folder / "dev_splits_complete").mkdir()
    (folder / "train_sent_emo.csv").write_text(TRAIN)
    (folder / "dev_sent_emo.csv").write_text(DEV)
    (folder / "train_splits" / "dia0_utt0.mp4").write_bytes(b"clip")
    (folder / "train_splits" / "dia2_utt0.mp4").write_bytes(b"")
    (folder / "dev_splits_complete" / "dia110_utt7.mp4").write_bytes(b"clip")
    return folder


def test_rows_gaps_and_clips(raw, tmp_path):
    manifest = prepare(Meld, None, raw, tmp_path / "out")
    rows = load_prepared(tmp_path / "out")
    assert rows["utterance_id"] == ["dev_dia110_utt7", "train_dia0_utt0", "train_dia0_utt2", "train_dia2_utt0"]
    assert rows["position"] == [0, 0, 1, 0] and rows["party"] == [0, 0, 1, 0]
    assert rows["transcript"][1] == "Well, hello." and rows["end"][1] == 2.0 and rows["start"][3] == 3603.0
    assert [Path(path).name for path in rows["video_path"]] == ["", "dia0_utt0.mp4", "", ""]
    assert rows["split"] == ["validation", "train", "train", "train"]
    assert manifest.items["missing"]["dialogue number"][0] == "train_dia1"
    assert manifest.items["missing"]["utterance number"][0] == "train_dia0_utt1"
    assert manifest.items["missing"]["video"] == ["train_dia0_utt2", "train_dia2_utt0"]
    assert manifest.items["missing"]["table"] == ["test_sent_emo.csv"]
    assert manifest.items["unreadable"] == {"clip that is broken as published": ["dev_dia110_utt7"]}
    assert manifest.items["dropped"] == {"times whose end is before their start": ["train_dia0_utt2"]}


def test_three_sentiments_and_own_list_of_broken_clips(raw, tmp_path):
    prepare(Meld, "three_way", raw, tmp_path / "out", broken="train_dia0_utt0")
    rows = load_prepared(tmp_path / "out")
    assert [rows.features["label"].names[label] for label in rows["label"]] == [
        "negative",
        "positive",
        "negative",
        "neutral",
    ]
    assert [bool(path) for path in rows["video_path"]] == [True, False, False, False]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",joy,", ",glee,", "line 2, Emotion: expected one of neutral"),
        ("00:00:01,500", "1.5", "line 2, StartTime: expected hours"),
        (",0,2,1,2", ",0,0,1,2", "line 3: expected each utterance once"),
        (",0,2,1,2", ",0,x,1,2", "line 3, Utterance_ID: expected a whole number"),
        ("Emotion", "Feeling", "none named Emotion"),
        (",", ";", "separator seems to be a semicolon"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(raw, tmp_path, old, new, message):
    table = raw / "train_sent_emo.csv"
    table.write_text(TRAIN.replace(old, new) if old == "," else TRAIN.replace(old, new, 1))
    with pytest.raises(CorpusError, match=message):
        prepare(Meld, None, raw, tmp_path / "out")


def test_a_folder_without_tables_is_refused(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(CorpusError, match=r"train_sent_emo.csv"):
        prepare(Meld, None, tmp_path / "raw", tmp_path / "out")


@pytest.mark.corpus
def test_the_real_meld(tmp_path):
    raw = Path(os.environ.get("MM_EMOTION_DATA", "/none")) / "meld"
    if not raw.is_dir():
        pytest.skip("MM_EMOTION_DATA holds no meld")
    manifest = prepare(Meld, None, raw, tmp_path / "out")
    counts = [
        manifest.found[f"{what} of {part}"] for what in ("utterances", "dialogues") for part in ("train", "dev", "test")
    ]
    assert counts == [9989, 1109, 2610, 1038, 114, 280]
    assert manifest.found["parties in the largest dialogue"] == 9
    assert manifest.items["missing"]["dialogue number"] == ["train_dia60"]
    assert manifest.count("unreadable") == 3
    rows = open_corpus("meld", "seven_way", tmp_path / "out")
    validate_split(rows, resolve_split(rows, "published"))
    same = open_corpus("meld", "seven_way", raw)
    # The way that opens the csv as it is, has the same utterances and labels.
    assert dict(zip(same["utterance_id"], same["label"], strict=True)) == dict(
        zip(rows["utterance_id"], rows["label"], strict=True)
    )
