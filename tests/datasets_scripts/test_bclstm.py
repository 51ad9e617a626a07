"""CMU-MOSI from one vector a modality and utterance: both file forms, what is noted, what is refused."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from datasets_scripts._builder import prepare
from datasets_scripts.cmu_mosi import CmuMosi
from mm_emotion.data.corpus import load_prepared, open_corpus
from mm_emotion.data.splits import resolve_split
from mm_emotion.errors import CorpusError

VECTORS = ("text_cnn100", "audio_opensmile73", "video_3dcnn100")


def made():
    random = np.random.default_rng(0)
    videos = ["v", "v", "u", "w"]
    arrays = {
        "utt_id": np.array(["v_2", "v_1", "u_1", "w_1"]),
        "video_id": np.array(videos),
        "segment": np.array([2, 1, 1, 1], np.int16),
        "split": np.array(["train", "train", "test", "valid"]),
        "sdk_fold": np.array(["test", "test", "valid", "train"]),
        "label_binary": np.array([1, 0, 1, 1], np.int8),
        "sentiment": np.array([2.5, -1.0, 0.0, 3.0], np.float32),
        "interval_s": np.array([[3, 4.5], [0, 2], [1, 2], [1, 2]], np.float32),
    }
    return arrays | {name: random.normal(size=(4, 3)).astype(np.float32) for name in VECTORS}


def write(folder, arrays, kind):
    folder.mkdir(exist_ok=True)
    if kind == "npz":
        np.savez(folder / "vectors.npz", **arrays)
        return folder
    with (folder / "vectors.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(arrays)
        for values in zip(*arrays.values(), strict=True):
            writer.writerow([" ".join(map(str, np.atleast_1d(value).tolist())) for value in values])
    return folder


@pytest.mark.parametrize("kind", ["npz", "csv"])
def test_rows_of_the_vectors(tmp_path, kind):
    arrays = made()
    arrays["audio_opensmile73"][1, 0] = np.inf
    arrays["audio_opensmile73"][2] = np.nan
    arrays["label_binary"][3] = 0
    raw = write(tmp_path / "raw", arrays, kind)
    (raw / "utterances.jsonl").write_text('{"utt_id": "v_1", "text": "WELL MADE", "start": 0}\n')
    manifest = prepare(CmuMosi, "bclstm", raw, tmp_path / "out")
    rows = load_prepared(tmp_path / "out")
    assert rows["utterance_id"] == ["u_1", "v_1", "v_2", "w_1"]
    assert rows["position"] == [0, 0, 1, 0] and rows["party"] == [0, 0, 0, 0]
    assert rows["split"] == ["test", "train", "train", "validation"]
    assert rows["sdk_fold"] == ["validation", "test", "test", "train"]
    assert rows["start"] == [1, 0, 3, 1] and rows["end"] == [2, 2, 4.5, 2]
    assert rows["sentiment"] == [0, -1, 2.5, 3]
    assert [rows.features["label"].names[label] for label in rows["label"]] == [
        "positive", "negative", "positive", "positive",
    ]  # fmt: skip
    assert rows["transcript"] == ["", "WELL MADE", "", ""]
    order = [2, 1, 0, 3]
    assert rows["text"] == arrays["text_cnn100"][order].tolist()
    assert rows["visual"] == arrays["video_3dcnn100"][order].tolist()
    assert rows["audio"][0] is None
    assert rows["audio"][1] == [0.0, *arrays["audio_opensmile73"][1, 1:].tolist()]
    assert manifest.items["disagreeing"] == {"label_binary with the sentiment, which counts": ["w_1"]}
    assert manifest.items["missing"]["audio_opensmile73"] == ["u_1"]
    assert manifest.found["sentiment of exactly 0"] == 1
    assert open_corpus("cmu_mosi", "sentiment", tmp_path / "out", VECTORS[:0])["affect"] == [[0], [-1], [2.5], [3]]
    assert open_corpus("cmu_mosi", "binary", tmp_path / "out", ["text", "audio", "visual"])["label"] == [1, 0, 1, 1]


def test_what_may_be_absent(tmp_path):
    arrays = {name: made()[name] for name in ("utt_id", "video_id", "segment", "sentiment", "text_cnn100")}
    raw = write(tmp_path / "raw", arrays | {"text": np.array(["a", "b", "c", "d"])}, "csv")
    prepare(CmuMosi, "bclstm", raw, tmp_path / "out")
    rows = load_prepared(tmp_path / "out")
    assert rows["transcript"] == ["c", "b", "a", "d"]
    assert rows["split"] == rows["sdk_fold"] == ["all"] * 4
    assert np.isnan(rows["start"]).all() and "audio" not in rows.column_names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentiment": None}, "utt_id, video_id, segment, sentiment and one of"),
        (dict.fromkeys(VECTORS), "one of text_cnn100, audio_opensmile73, video_3dcnn100"),
        ({"text_cnn100": np.zeros((3, 3))}, r"text_cnn100: expected shape \(N, D\) of 4 utterances, got \(3, 3\)"),
        ({"text_cnn100": np.zeros(4)}, r"text_cnn100: expected shape \(N, D\)"),
        ({"interval_s": np.zeros((4, 3))}, r"interval_s: expected shape \(N, 2\)"),
        ({"utt_id": np.array(["a", "b", "a", "c"])}, "each utterance once, got 'a'"),
        ({"utt_id": np.arange(4)}, "utt_id: expected text, got int64"),
        ({"utt_id": np.array("a")}, r"utt_id: expected shape \(N,\)"),
        ({"sentiment": np.array(["a"] * 4)}, "sentiment: expected numbers"),
        ({"sentiment": np.array([0, 0, np.nan, 0])}, "u_1, sentiment: expected a number from -3 to 3, got nan"),
        ({"segment": np.array([1, 1.5, 1, 1])}, "v_1, segment: expected a whole number"),
        ({"split": np.array(["train", "exam", "test", "test"])}, "split: expected one of train, .* got 'exam'"),
        ({"text_cnn100": np.array([None] * 4)}, "without pickled objects"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, change, message):
    arrays = {name: value for name, value in (made() | change).items() if value is not None}
    raw = write(tmp_path / "raw", arrays, "npz")
    with pytest.raises(CorpusError, match=message):
        prepare(CmuMosi, "bclstm", raw, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2.5", "good", "line 2, sentiment: expected numbers parted by blanks"),
        ("2.5", "", "line 2, sentiment: expected one number, got 0"),
        ("3.0 4.5", "3.0", "line 2, interval_s: expected 2 numbers, got 1"),
        ("2.5,", "", "line 2: expected 11 values"),
    ],
)
def test_lines_of_a_csv_that_do_not_fit_are_refused(tmp_path, old, new, message):
    raw = write(tmp_path / "raw", made(), "csv")
    text = (raw / "vectors.csv").read_text()
    assert old in text
    (raw / "vectors.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(CorpusError, match=message):
        prepare(CmuMosi, "bclstm", raw, tmp_path / "out")


def test_one_whole_file_and_no_other_option(tmp_path):
    raw = write(tmp_path / "raw", made(), "npz")
    (tmp_path / "folds.json").write_text("{}")
    with pytest.raises(CorpusError, match="folds: expected nothing with the config bclstm"):
        prepare(CmuMosi, "bclstm", raw, tmp_path / "out", folds=str(tmp_path / "folds.json"))
    whole = (raw / "vectors.npz").read_bytes()
    (raw / "vectors.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CorpusError, match="a whole npz file"):
        prepare(CmuMosi, "bclstm", raw, tmp_path / "out")
    (raw / "vectors.csv").write_text("utt_id,video_id,segment,sentiment,text_cnn100\n")
    with pytest.raises(CorpusError, match=r"one file \.npz or \.csv, got vectors\.csv, vectors\.npz"):
        prepare(CmuMosi, "bclstm", raw, tmp_path / "out")
    (raw / "vectors.npz").unlink()
    with pytest.raises(CorpusError, match="got none"):
        prepare(CmuMosi, "bclstm", raw, tmp_path / "out")


@pytest.mark.corpus
def test_the_real_vectors_of_mosi(tmp_path):
    raw = Path(os.environ.get("MM_EMOTION_DATA", "/none")) / "mosi"
    if not raw.is_dir():
        pytest.skip("MM_EMOTION_DATA holds no vectors of CMU-MOSI")
    manifest = prepare(CmuMosi, "bclstm", raw, tmp_path / "out")
    rows = load_prepared(tmp_path / "out")
    assert (manifest.found["utterances"], manifest.found["videos"]) == (2199, 93)
    assert manifest.found["sentiment of exactly 0"] == 96
    assert [rows["split"].count(part) for part in ("train", "test")] == [1447, 752]
    assert [rows["sdk_fold"].count(part) for part in ("train", "validation", "test")] == [1284, 229, 686]
    assert [{len(vector) for vector in rows[name]} for name in ("text", "audio", "visual")] == [{100}, {73}, {100}]
    assert all(rows["transcript"]) and not any(json.loads((tmp_path / "out/manifest.json").read_text())["missing"])
    split = resolve_split(rows, "published")
    assert len(split.test) == 31 and len(split.train) + len(split.validation) == 62
