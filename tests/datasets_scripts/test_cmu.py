import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets_scripts import _csd
from datasets_scripts._builder import Manifest, prepare
from datasets_scripts._csd import Sequence, within
from datasets_scripts.cmu_mosei import CmuMosei
from datasets_scripts.cmu_mosi import CmuMosi
from mm_emotion.data.corpus import load_prepared, open_corpus
from mm_emotion.errors import CorpusError
from mm_emotion.schema import AFFECT_DIMENSIONS

h5py = pytest.importorskip("h5py", reason="h5py is not installed: no computational sequences to read")

LABELS = ["sentiment", "happy", "sad", "anger", "surprise", "disgust", "fear"]


def write_csd(path, root, entries, names=None):
    """entries: video -> (intervals, features), either None to leave it out."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root)
        data = group.create_group("data")
        for video, (intervals, features) in entries.items():
            entry = data.create_group(video)
            if intervals is not None:
                entry["intervals"] = np.array(intervals, dtype=np.float32)
            if features is not None:
                text = isinstance(features[0][0], str)
                entry["features"] = np.array(features, dtype="S16" if text else np.float32)
        if names is not None:
            group.create_group("metadata")["dimension names"] = np.array([json.dumps(names).encode()], dtype=object)
    return path


@pytest.fixture
def mosi(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    write_csd(
        raw / "CMU_MOSI_Opinion_Labels.csd", "L", {"b": ([[4, 6], [0, 2]], [[0.0], [-1.5]]), "a": ([[1, 2]], [[2]])}
    )
    words = [["sp"], ["good"], ["film"], ["sp"], ["bad"]]
    times = [[0, 0.5], [0.5, 1], [1, 2], [2, 4.5], [4.5, 5]]
    write_csd(raw / "CMU_MOSI_TimestampedWords.csd", "words", {"b": (times, words), "stray": (times, words)})
    frames = [[-np.inf, 1.0], [2.0, np.nan], [3.0, 3.0], [4.0, 4.0]]
    write_csd(
        raw / "CMU_MOSI_COVAREP.csd",
        "COVAREP",
        {"b": ([[0, 1], [1, 2], [2, 3], [5, 5.5]], frames), "a": ([[7, 6], [1, 1.5]], [[1, 1], [2, 2]])},
    )
    (tmp_path / "folds.json").write_text(
        json.dumps({"standard_train_fold": ["b"], "standard_valid_fold": [], "standard_test_fold": ["a"]})
    )
    return raw


def test_mosi_segments_with_words_silences_and_steps(mosi, tmp_path):
    manifest = prepare(CmuMosi, None, mosi, tmp_path / "out", folds=str(tmp_path / "folds.json"))
    rows = load_prepared(tmp_path / "out")
    assert rows["utterance_id"] == ["a_1", "b_1", "b_2"]
    assert rows["start"] == [1.0, 0.0, 4.0]
    assert rows["transcript"] == ["", "good film", "bad"]
    assert rows["split"] == rows["sdk_fold"] == ["test", "train", "train"]
    assert [rows.features["label"].names[label] for label in rows["label"]] == ["positive", "negative", "positive"]
    assert rows["sentiment"] == [2.0, -1.5, 0.0]
    assert rows["audio"] == [[[2.0, 2.0]], [[0.0, 1.0], [2.0, 0.0]], [[4.0, 4.0]]]
    assert manifest.found["sentiment of exactly 0"] == 1
    assert manifest.found["silences among the words"] == 2
    assert manifest.found["values not finite, taken as 0, in CMU_MOSI_COVAREP.csd"] == 2
    assert manifest.items["dropped"] == {
        "words of a video without labels": ["stray"],
        "interval that ends before it starts in CMU_MOSI_COVAREP.csd": ["a x1"],
    }
    assert manifest.items["missing"]["words of a video"] == ["a"]
    assert json.loads((tmp_path / "out/manifest.json").read_text())["dropped"] == manifest.items["dropped"]
    assert open_corpus("cmu_mosi", "sentiment", tmp_path / "out")["affect"] == [[2.0], [-1.5], [0.0]]


def test_modalities_at_the_pace_of_the_words(mosi, tmp_path):
    prepare(CmuMosi, None, mosi, tmp_path / "out", align="words")
    rows = load_prepared(tmp_path / "out")
    assert rows["words"] == [None, ["sp", "good", "film"], ["sp", "bad"]]
    # sp 0-.5 and good .5-1 lie in frame 0-1, film in 1-2; sp 2-4.5 meets 2-3 alone; bad 4.5-5 meets none: zeros
    assert rows["audio"] == [None, [[0, 1], [0, 1], [2, 0]], [[3, 3], [0, 0]]]
    assert rows["transcript"] == ["", "good film", "bad"]
    for steps, words, audio in (
        ("1", [["film"], ["bad"]], [[[2, 0]], [[0, 0]]]),
        ("3", [["sp", "good", "film"], ["", "sp", "bad"]], [[[0, 1], [0, 1], [2, 0]], [[0, 0], [3, 3], [0, 0]]]),
    ):
        prepare(CmuMosi, None, mosi, tmp_path / "out", align="words", steps=steps)
        rows = load_prepared(tmp_path / "out")
        assert (rows["words"], rows["audio"]) == ([None, *words], [None, *audio])


def test_a_step_weighs_what_it_meets_by_the_time_shared(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    write_csd(raw / "X_Labels.csd", "L", {"a": ([[0, 1]], [[1.0]])})
    write_csd(raw / "X_TimestampedWords.csd", "words", {"a": ([[0, 1]], [["good"]])})
    write_csd(raw / "X_COVAREP.csd", "COVAREP", {"a": ([[-0.5, 0.25], [0.25, 1.5]], [[0.0], [4.0]])})
    for collapse, expected in (("weighted_average", 3.0), ("plain_average", 2.0)):
        prepare(CmuMosi, None, raw, tmp_path / "out", align="words", collapse=collapse)
        assert load_prepared(tmp_path / "out")["audio"] == [[[expected]]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"align": "text"}, "align: expected one of the sequences found: words, audio"),
        ({"align": "words", "collapse": "sum"}, "collapse: expected weighted_average or plain_average"),
        ({"align": "words", "steps": "0"}, "steps: expected a number of at least 1"),
        ({"steps": "5"}, "steps: expected a number of at least 1, with --align"),
    ],
)
def test_impossible_alignments_are_refused(mosi, tmp_path, options, message):
    with pytest.raises(CorpusError, match=message):
        prepare(CmuMosi, None, mosi, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_mosi_raw_media_and_transcripts(mosi, tmp_path):
    raw = tmp_path / "Raw"
    for folder in ("Audio/WAV_16000/Segmented", "Video/Segmented", "Transcript/Segmented"):
        (raw / folder).mkdir(parents=True)
    soundfile.write(raw / "Audio/WAV_16000/Segmented/a_1.wav", np.zeros(16, np.float32), 16000)
    (raw / "Video/Segmented/a_1.mp4").write_bytes(b"clip")
    (raw / "Transcript/Segmented/a.annotprocessed").write_text("1_DELIM_WELL MADE\n")
    manifest = prepare(CmuMosi, None, mosi, tmp_path / "out", media=str(raw))
    row = load_prepared(tmp_path / "out")[0]
    assert row["transcript"] == "WELL MADE"
    assert Path(row["audio_path"]).name == "a_1.wav" and Path(row["video_path"]).name == "a_1.mp4"
    assert manifest.count("missing", "video") == 2
    (raw / "Transcript/Segmented/a.annotprocessed").write_text("WELL MADE\n")
    with pytest.raises(CorpusError, match="line 1: expected NUMBER_DELIM_WORDS"):
        prepare(CmuMosi, None, mosi, tmp_path / "out", media=str(raw))


def test_mosei_takes_the_order_of_its_labels_from_the_metadata(tmp_path):
    raw = tmp_path / "raw"
    raw.mkdir()
    order = ["fear", *LABELS[:-1]]
    values = {name: float(index) for index, name in enumerate(AFFECT_DIMENSIONS["cmu_mosei"])}
    entries = {"a": ([[0, 1]], [[values[name] for name in order]])}
    write_csd(raw / "CMU_MOSEI_Labels.csd", "All Labels", entries, order)
    prepare(CmuMosei, None, raw, tmp_path / "out")
    assert load_prepared(tmp_path / "out")["affect"] == [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]
    for names in (None, LABELS[:-1], [*LABELS[:-1], "happy"]):
        write_csd(raw / "CMU_MOSEI_Labels.csd", "All Labels", entries, names)
        with pytest.raises(CorpusError, match=r"dimension names: expected each of .* once.*not guessed"):
            prepare(CmuMosei, None, raw, tmp_path / "out")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"a": ([[0, 1], [1, 2]], [[1.0]])}, "as many intervals as features, got 2 intervals, 1 features"),
        ({"a": ([0, 1], [[1.0], [2.0]])}, "intervals .N, 2. and features"),
        ({"a": ([[0, 1]], [[1.0]]), "b": ([[0, 1]], [[1.0, 2.0]])}, "b: expected 1 values, as other entries"),
    ],
)
def test_entries_that_do_not_fit_are_refused(tmp_path, entries, message):
    path = write_csd(tmp_path / "x.csd", "x", entries)
    with Sequence(path, Manifest()) as sequence, pytest.raises(CorpusError, match=message):
        for name in sequence.ids():
            sequence.entry(name)


def test_entries_without_parts_and_overlaps_are_counted(tmp_path):
    entries = {"a": (None, [[1.0]]), "b": ([[0, 1]], None), "c": ([[0, 2], [1, 3]], [[1.0], [2.0]])}
    manifest = Manifest()
    with Sequence(write_csd(tmp_path / "x.csd", "x", entries), manifest) as sequence:
        assert sequence.entry("a") is None and sequence.entry("b") is None
        assert sequence.entry("c")[1].tolist() == [[1.0], [2.0]]
        assert sequence.dimensions() == []
    assert manifest.items["unreadable"] == {
        "entry without intervals in x.csd": ["a"],
        "entry without features in x.csd": ["b"],
    }
    assert manifest.found["overlapping intervals in x.csd"] == 1


def test_a_file_that_is_cut_off_or_claims_too_much_is_refused(tmp_path, monkeypatch):
    path = write_csd(tmp_path / "x.csd", "x", {"a": ([[0, 1]], [[1.0]])})
    (tmp_path / "cut.csd").write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorpusError, match="a whole HDF5 file"):
        Sequence(tmp_path / "cut.csd", Manifest())
    (tmp_path / "text.csd").write_text("no HDF5")
    with pytest.raises(CorpusError, match="a whole HDF5 file"):
        Sequence(tmp_path / "text.csd", Manifest())
    with h5py.File(tmp_path / "other.csd", "w") as file:
        file["x"] = [1.0]
    with pytest.raises(CorpusError, match="a group that holds data"):
        Sequence(tmp_path / "other.csd", Manifest())
    monkeypatch.setattr(_csd, "LARGEST", 4)
    with Sequence(path, Manifest()) as sequence, pytest.raises(CorpusError, match="at most 4 bytes"):
        sequence.entry("a")


def test_metadata_of_any_length_and_of_one(tmp_path):
    with h5py.File(tmp_path / "x.csd", "w") as file:
        group = file.create_group("x/metadata")
        for name in ("first", "dimension names", "last"):
            group[name] = np.array([json.dumps([name, "é" * 9]).encode()], dtype=object)
        group["fixed"] = np.array([b'["p"]'])
        group["no json"] = np.array([b"plain"], dtype=object)
        file.create_group("x/data")
    with Sequence(tmp_path / "x.csd", Manifest()) as sequence:
        assert sequence.metadata("last") == ["last", "é" * 9]
        assert sequence.dimensions() == ["dimension names", "é" * 9]
        assert sequence.metadata("fixed") == ["p"] and sequence.metadata("no json") == "plain"
        assert sequence.metadata("none") is None
    broken = (tmp_path / "x.csd").read_bytes().replace(b"GCOL", b"LOST")
    (tmp_path / "y.csd").write_bytes(broken)
    with Sequence(tmp_path / "y.csd", Manifest()) as sequence, pytest.raises(CorpusError, match="no heap"):
        sequence.dimensions()


def test_rows_that_overlap_a_segment():
    intervals = np.array([[0, 1], [1, 2], [2, 3]], dtype=float)
    assert within(intervals, 1, 2) == slice(1, 2)
    assert within(intervals, 0.5, 2.5) == slice(0, 3)
    assert within(intervals, 3, 4) == slice(0, 0)


def test_labels_must_be_one_file_and_folds_well_formed(mosi, tmp_path):
    (mosi / "Other_Labels.csd").write_bytes(b"")
    with pytest.raises(CorpusError, match=r"one file .*Labels\.csd"):
        prepare(CmuMosi, None, mosi, tmp_path / "out")
    (mosi / "Other_Labels.csd").unlink()
    for text in ("{", "[]", '{"standard_train_fold": 1}'):
        (tmp_path / "folds.json").write_text(text)
        with pytest.raises(CorpusError, match="standard_train_fold"):
            prepare(CmuMosi, None, mosi, tmp_path / "out", folds=str(tmp_path / "folds.json"))
    assert not (tmp_path / "out").exists()


@pytest.mark.corpus
def test_the_labels_of_the_real_mosi(tmp_path):
    root = Path(os.environ.get("MM_EMOTION_DATA", "/none"))
    raw, folds = root / "raw" / "csd", root / "mosi" / "sdk_standard_folds.json"
    if not raw.is_dir() or not folds.is_file():
        pytest.skip("MM_EMOTION_DATA holds no labels of CMU-MOSI")
    manifest = prepare(CmuMosi, None, raw, tmp_path / "out", folds=str(folds))
    rows = load_prepared(tmp_path / "out")
    assert (manifest.found["utterances"], manifest.found["videos"]) == (2199, 93)
    assert manifest.found["sentiment of exactly 0"] == 96
    assert [rows["split"].count(part) for part in ("train", "validation", "test")] == [1284, 229, 686]
