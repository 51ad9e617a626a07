import json

import numpy as np
import pytest
import soundfile

from datasets_scripts._builder import main, prepare
from datasets_scripts.table import Table
from mm_emotion.data.corpus import load_prepared
from mm_emotion.errors import CorpusError


def write(folder, text, name="my.csv"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def rows_of(tmp_path, text, name="my.csv", **options):
    prepare(Table, None, write(tmp_path / "raw", text, name), tmp_path / "out", **options)
    return load_prepared(tmp_path / "out")


def test_only_words_and_labels_are_needed(tmp_path):
    rows = rows_of(tmp_path, 'transcript,label\nhello,calm\n"no, stop",angry\nwell,\n')
    assert rows["utterance_id"] == ["000001", "000002", "000003"]
    assert rows["dialogue_id"] == rows["utterance_id"]
    assert rows["transcript"] == ["hello", "no, stop", "well"]
    assert rows.features["label"].names == ["angry", "calm"]
    assert rows["label"] == [1, 0, None]
    assert rows["split"] == ["all"] * 3


def test_the_manifest_shows_the_labels_and_what_is_missing(tmp_path):
    table = write(tmp_path / "raw", "transcript,label,mood,video_path\na,b,x,v.mp4\nc,,x,\n,B,x,\n")
    manifest = prepare(Table, None, table, tmp_path / "out")
    assert {name: count for name, count in manifest.found.items() if name.startswith("label")} == {
        "label B": 1,
        "label b": 1,
    }
    assert manifest.items["missing"] == {
        "video": ["000001 (v.mp4)"],
        "label": ["000002"],
        "words and media": ["000003"],
    }
    assert manifest.items["dropped"] == {"column of another name": ["mood"]}
    assert manifest.count("disagreeing", "label that differs from another in case alone") == 2


def test_the_columns_of_a_table_of_turns_are_read_whatever_their_case(tmp_path):
    soundfile.write(write(tmp_path / "raw", "", "a.wav"), np.zeros(80, np.float32), 8000)
    rows = rows_of(tmp_path, "Party,Text,audio,LABEL \nA,hello,a.wav,calm\nB,no,,angry\n")
    assert rows["transcript"] == ["hello", "no"] and rows["speaker"] == ["A", "B"]
    assert rows["audio_path"] == [str(tmp_path / "raw" / "a.wav"), ""]


def test_a_column_that_is_left_out_shows_what_it_may_have_meant(tmp_path):
    table = write(tmp_path / "raw", "transcript,label,dialog_id\na,b,1\nc,d,1\n")
    dropped = prepare(Table, None, table, tmp_path / "out").items["dropped"]
    assert dropped == {"column of another name": ["dialog_id (rename to dialogue_id?)"]}


def test_rows_without_the_speaker_that_others_have_are_told(tmp_path):
    table = write(tmp_path / "raw", "transcript,speaker,label\na,A,b\nc,,d\n")
    missing = prepare(Table, None, table, tmp_path / "out").items["missing"]
    assert missing == {"speaker: folds are by dialogues": ["000002"]}


def test_a_dialogue_is_in_the_order_of_its_times_or_else_of_the_table(tmp_path):
    text = "utterance_id,dialogue_id,speaker,transcript,start,end,label\n"
    text += "a,d,x,1,5,6,p\nb,d,y,2,1,2.5,q\nc,e,x,3,9,10,p\nd,e,x,4,,,q\n"
    rows = rows_of(tmp_path, text)
    assert rows["utterance_id"] == ["b", "a", "c", "d"]
    assert rows["position"] == [0, 1, 0, 1]
    assert rows["party"] == [0, 1, 0, 0]
    assert rows["end"][0] == 2.5


def test_numbers_are_a_regression_and_may_be_names_on_request(tmp_path):
    text = "transcript,label\na,1\nb,-0.5\nc,\n"
    affect = rows_of(tmp_path, text)["affect"]
    assert affect[:2] == [[1.0], [-0.5]] and np.isnan(affect[2][0])
    assert rows_of(tmp_path, text, label_kind="classes").features["label"].names == ["-0.5", "1"]


def test_jsonl_with_media_of_another_folder(tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    soundfile.write(media / "a.wav", np.zeros(80, np.float32), 8000)
    (media / "b.mp4").write_bytes(b"clip")
    lines = [
        {"utterance_id": 7, "audio_path": "a.wav", "label": "x", "split": "dev"},
        {"utterance_id": "8", "video_path": "b.mp4", "label": "y", "speaker": None},
    ]
    rows = rows_of(tmp_path, "\n".join(map(json.dumps, lines)), "my.jsonl", media_dir=str(media))
    assert rows["audio_path"] == [str(media / "a.wav"), ""]
    assert rows["video_path"] == ["", str(media / "b.mp4")]
    assert rows["utterance_id"] == ["7", "8"] and rows["split"] == ["validation", "all"]


HEAD = "utterance_id,transcript,start,end,split,label\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("transcript;label\na;b\n", "separator seems to be a semicolon"),
        ("transcript\tlabel\na\tb\n", "separator seems to be a tab"),
        ("", "an empty file"),
        ("transcript,label\n", "at least one row"),
        ("transcript,label,label\na,b,c\n", "'label' 2 times"),
        ("transcript,,label\na,b,c\n", "none for column 2"),
        ("sentence,label\na,b\n", "rename 'sentence' to 'transcript'"),
        ("text,transcript,label\na,a,b\n", "one column that holds transcript, got text and transcript"),
        ("transcript,emotion\na,b\n", "rename 'emotion' to 'label'"),
        ("transcript,label\na,b,c\n", "line 2: expected 2 values.*got 3"),
        ('transcript,label\n"a,b\n', "well-formed csv"),
        ("transcript,label\na,b\nc,b\n", "2 to 100 different labels"),
        ("transcript,label\na,b\nc,1\n", "line 2, label: expected a finite number.*--label-kind classes"),
        ("transcript,label\na,\nc,\n", "a label in at least one row"),
        (HEAD + "a,w,1,2,,x\na,w,1,2,,y\n", "line 3: expected each utterance_id once.*first on line 2"),
        (HEAD + "a,w,2,1,,x\n", "line 2, end: expected more than start"),
        (HEAD + "a,w,one,2,,x\n", "line 2, start: expected seconds"),
        (HEAD + "a,w,-1,2,,x\n", "line 2, start: expected seconds"),
        (HEAD + "a,w,inf,,,x\n", "line 2, start: expected seconds"),
        (HEAD + "a,w,1,2,part1,x\n", "line 2, split: expected one of train"),
        ("audio_path,label\nno.wav,x\nno2.wav,y\n", "none, such as 000001 .no.wav.*--media-dir"),
    ],
)
def test_a_bad_table_is_refused_with_its_line(tmp_path, text, message):
    with pytest.raises(CorpusError, match=message):
        rows_of(tmp_path, text)


@pytest.mark.parametrize(
    "line", ['{"label": ', "[1]", '{"label": [1]}', '{"label": NaN}', '{"a": true}', "[" * 100_000]
)
def test_a_bad_json_line_is_refused_with_its_number(tmp_path, line):
    with pytest.raises(CorpusError, match="line 2"):
        rows_of(tmp_path, '{"transcript": "a", "label": "b"}\n' + line, "my.jsonl")


def test_an_unknown_kind_of_file_and_of_label_is_refused(tmp_path):
    with pytest.raises(CorpusError, match="expected a file that ends in"):
        rows_of(tmp_path, "a", "my.xlsx")
    with pytest.raises(CorpusError, match="label_kind"):
        rows_of(tmp_path, "transcript,label\na,b\n", label_kind="maybe")


def test_the_command_takes_the_file(tmp_path, capsys):
    table = write(tmp_path / "raw", "transcript,label\na,b\nc,d\n")
    assert main(Table, ["--data", str(table), "--out", str(tmp_path / "out")]) == 0
    assert "label b" in capsys.readouterr().out
    assert main(Table, ["--data", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]) == 2
    assert "which is no file" in capsys.readouterr().err
