"""Predictions are written as a table, JSON, csv or subtitles, each readable by its own reader."""

import csv
import io
import json

import pytest

from mm_emotion.errors import FeatureError
from mm_emotion.pipeline import rendered

ROWS = [
    {
        **{"text": "yes,\nso", "speaker": "A", "start": 0.0, "end": 1.25},
        **{"label": "sad", "score": 0.75, "scores": {"happy": 0.25, "sad": 0.75}},
    },
    {"start": 3661.0005, "end": 3662.0, "label": "happy", "score": 0.5, "scores": {"happy": 0.5, "sad": 0.5}},
]


def test_a_table_has_a_line_an_utterance_and_a_heading_an_input():
    first = {**ROWS[0], "text": "x" * 80, "labelled": "happy"}
    lines = rendered([("one", [first]), ("two", ROWS[1:])], "table").splitlines()
    assert [lines[0], lines[2]] == ["one", "two"]
    assert "0:01.2" in lines[1]
    assert "x…" in lines[1]
    assert lines[1].endswith("0.75   labelled happy")
    assert len(rendered([("one", ROWS)], "table").splitlines()) == 2


def test_a_table_of_sound_alone_has_no_empty_columns():
    row = {"start": 0.0, "end": 1.0, "label": "sad", "score": 0.5, "scores": {"sad": 0.5}}
    assert rendered([("one", [row])], "table") == "  0:00.0 –   0:01.0  sad  0.50\n"


def test_json_keeps_everything():
    assert json.loads(rendered([("one", ROWS)], "json")) == ROWS
    assert [part["input"] for part in json.loads(rendered([("one", ROWS), ("two", ROWS)], "json"))] == ["one", "two"]


def test_csv_has_a_column_a_class():
    first, second = csv.DictReader(io.StringIO(rendered([("one", ROWS)], "csv")))
    assert (first["input"], first["text"], first["label"], float(first["sad"])) == ("one", "yes,\nso", "sad", 0.75)
    assert (second["text"], second["speaker"], float(second["happy"])) == ("", "", 0.5)


def test_subtitles_have_times_and_words_on_one_line():
    blocks = rendered([("one", ROWS)], "srt").split("\n\n")
    assert blocks[0] == "1\n00:00:00,000 --> 00:00:01,250\nA: yes, so\n[sad 0.75]"
    assert blocks[1].splitlines()[:2] == ["2", "01:01:01,000 --> 01:01:02,000"]


def test_what_cannot_be_written_is_named():
    with pytest.raises(FeatureError, match="start and end of every utterance, got none for utterance 1"):
        rendered([("one", [{"label": "sad", "score": 1.0, "scores": {"sad": 1.0}}])], "srt")
    with pytest.raises(FeatureError, match="srt: expected one input, got 2"):
        rendered([("one", ROWS), ("two", ROWS)], "srt")
    with pytest.raises(FeatureError, match="srt: expected one conversation, got 2, such as 'x' and 'y'"):
        rendered([("one", [{**row, "dialogue_id": name} for row, name in zip(ROWS, "xy", strict=True)])], "srt")
    with pytest.raises(FeatureError, match="one of table, json, csv, srt, got 'xml'"):
        rendered([("one", ROWS)], "xml")


@pytest.mark.parametrize("times", [(5.0, 2.0), (-1.0, 2.0)])
def test_times_that_subtitles_cannot_have_are_named(times):
    row = {**ROWS[0], "start": times[0], "end": times[1]}
    with pytest.raises(FeatureError, match=f"0 <= start <= end, got {times[0]} and {times[1]} in utterance 1"):
        rendered([("one", [row])], "srt")
