import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets_scripts._arff import read_arff
from datasets_scripts._builder import prepare
from datasets_scripts._frames import partition, read_frames
from datasets_scripts.recola import Recola
from datasets_scripts.semaine import Semaine
from datasets_scripts.sewa import Sewa
from mm_emotion.data.corpus import load_prepared, open_corpus
from mm_emotion.errors import CorpusError

HEADER = """% made up
@relation x
@attribute 'Instance name' string
@attribute frameTime numeric
@attribute GoldStandard NUMERIC
@attribute class {a, b}
@data
"""


def arff(folder, name, times, values, head="@relation x\n"):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [head + "@attribute frameTime numeric", "@attribute GoldStandard numeric", "@data"]
    lines += [f"{time:.2f},{value}" for time, value in zip(times, values, strict=True)]
    (folder / f"{name}.arff").write_text("\n".join(lines))


def sewa_labels(folder, name, frames, step=0.1):
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["name;timestamp;liking;arousal;valence"]
    lines += [f"'{name}';{index * step:.6f};{index};0.5;-0.25" for index in range(frames)]
    (folder / f"{name}.csv").write_text("\n".join(lines))


def features(folder, name, times, width=2, separator=";"):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [separator.join([f"'{name}'", f"{time:.3f}", *[f"{time:.3f}"] * width]) for time in times]
    (folder / f"{name}.csv").write_text("\n".join(lines))


def test_sewa_frames_with_features_and_withheld_labels(tmp_path):
    raw = tmp_path / "raw"
    sewa_labels(raw / "labels", "Train_01", 4)
    sewa_labels(raw / "labels", "Devel_01", 3)
    features(raw / "bow", "Train_01", [0, 0.1, 0.2, 0.3])
    features(raw / "bow", "Devel_01", [0.1, 0.2, 0.3, 0.4])
    features(raw / "bow", "Test_01", [0, 0.1])
    (raw / "wav").mkdir()
    soundfile.write(raw / "wav" / "Train_01.wav", np.zeros(16, np.float32), 16000)
    manifest = prepare(Sewa, None, raw, tmp_path / "out", audio="bow", recordings="wav")
    rows = load_prepared(tmp_path / "out")
    assert rows["dialogue_id"] == ["Devel_01"] * 3 + ["Test_01"] * 2 + ["Train_01"] * 4
    assert rows["split"] == ["validation"] * 3 + ["test"] * 2 + ["train"] * 4
    np.testing.assert_allclose(rows["affect"][1], [0.5, -0.25, 1.0])
    assert np.isnan(rows["affect"][3]).all()
    assert rows["audio"][0] is None
    np.testing.assert_allclose(rows["audio"][1], [0.1, 0.1])
    assert rows["start"][2] == pytest.approx(0.2) and rows["end"][2] == pytest.approx(0.3)
    assert Path(rows["audio_path"][-1]).name == "Train_01.wav"
    assert manifest.items["missing"]["labels (withheld)"] == ["Test_01"]
    assert manifest.items["missing"]["audio of some frames"] == ["Devel_01 x1"]
    assert manifest.items["dropped"]["audio without a frame of labels"] == ["Devel_01 x2"]
    liking = open_corpus("sewa", "liking", tmp_path / "out", ["audio"])["affect"]
    assert liking[:3] == [[0.0], [1.0], [2.0]]


def test_frames_at_another_rate_are_noted(tmp_path):
    sewa_labels(tmp_path / "raw/labels", "Train_01", 4, step=0.2)
    manifest = prepare(Sewa, None, tmp_path / "raw", tmp_path / "out")
    assert manifest.items["disagreeing"] == {"frames that are not 0.1 s apart": ["Train_01"]}


def test_recola_joins_the_dimensions_of_a_recording(tmp_path):
    gold = tmp_path / "raw" / "ratings_gold_standard"
    arff(gold / "arousal", "train_1", [0, 0.04, 0.08], [0.1, "?", 0.3])
    arff(gold / "valence", "train_1", [0, 0.04, 0.08], [1, 2, 3])
    manifest = prepare(Recola, None, tmp_path / "raw", tmp_path / "out")
    affect = load_prepared(tmp_path / "out")["affect"]
    np.testing.assert_allclose(affect, np.array([[0.1, 1], [np.nan, 2], [0.3, 3]]), rtol=1e-6)
    assert manifest.found["frames without a label"] == 1
    arff(gold / "valence", "train_1", [0, 0.04], [1, 2])
    with pytest.raises(CorpusError, match="the 3 frames of arousal, got 2 frames"):
        prepare(Recola, None, tmp_path / "raw", tmp_path / "out")
    (gold / "valence" / "train_1.arff").unlink()
    with pytest.raises(CorpusError, match="one file each of arousal, valence"):
        prepare(Recola, None, tmp_path / "raw", tmp_path / "out")


def test_semaine_of_the_challenge(tmp_path):
    folder = tmp_path / "raw" / "labels"
    folder.mkdir(parents=True)
    for index, name in enumerate(("Valence", "Arousal", "Expectation", "Power")):
        (folder / f"train001_{name}.dat").write_text(f"{index}\n{index + 0.5}\n")
    prepare(Semaine, None, tmp_path / "raw", tmp_path / "out")
    rows = load_prepared(tmp_path / "out")
    assert rows["affect"] == [[0.0, 1.0, 2.0, 3.0], [0.5, 1.5, 2.5, 3.5]]
    assert rows["split"] == ["train", "train"] and rows["start"][1] == pytest.approx(1 / 49.979)
    (folder / "train001_Power.dat").write_text("1\n")
    with pytest.raises(CorpusError, match="as many frames of each dimension"):
        prepare(Semaine, None, tmp_path / "raw", tmp_path / "out")


def test_semaine_traces_are_averaged_over_raters(tmp_path):
    folder = tmp_path / "raw" / "Sessions" / "5"
    folder.mkdir(parents=True)
    (folder / "R1S5TUCPoV.txt").write_text("0 0\n1 1\n")
    (folder / "R2S5TUCPoV.txt").write_text("0.2 0.4\n0.8 0.4\n")
    (folder / "R2S5TUCPoA.txt").write_text("0 1\n2 1\n")
    manifest = prepare(Semaine, "sessions", tmp_path / "raw", tmp_path / "out")
    rows = load_prepared(tmp_path / "out")
    assert rows["start"][0] >= 0.2 and rows["start"][-1] <= 0.8 + 1e-9
    affect = np.array(rows["affect"])
    np.testing.assert_allclose(affect[:, 0], (np.array(rows["start"]) + 0.4) / 2, atol=1e-6)
    np.testing.assert_allclose(affect[:, 1], 1)
    assert np.isnan(affect[:, 2:]).all()
    assert manifest.items["missing"]["traces of power"] == ["session005"]


def test_arff_values(tmp_path):
    path = tmp_path / "x.arff"
    path.write_text(HEADER + "'it\\'s',0,1.5,a\n\"a, b\", 1 ,?,b\n")
    attributes, *rows = read_arff(path)
    assert [attribute.name for attribute in attributes] == ["Instance name", "frameTime", "GoldStandard", "class"]
    assert rows[0] == (8, ["it's", 0.0, 1.5, "a"])
    assert rows[1][1][:2] == ["a, b", 1.0] and np.isnan(rows[1][1][2])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + "x,0,1\n", "line 8: expected 4 values, one an attribute, got 3"),
        (HEADER + "x,0,1,a,b\n", "got 5"),
        (HEADER + "x,zero,1,a\n", "line 8, frameTime: expected a finite number"),
        (HEADER + "x,0,inf,a\n", "line 8, GoldStandard: expected a finite number"),
        (HEADER + "'x,0,1,a\n", "quotes closed"),
        (HEADER + "{0 x}\n", "the sparse form"),
        (HEADER.replace("NUMERIC", "date"), "line 5: expected a type"),
        (HEADER.replace("GoldStandard", "frameTime"), "each attribute once"),
        (HEADER.replace("@attribute frameTime", "@attr frameTime"), "line 4: expected @relation"),
        (HEADER.replace("@data", ""), "an arff file with @data"),
        ("@data\n1\n", "@attribute lines before"),
        ("", "an arff file with @data"),
    ],
)
def test_a_bad_arff_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "x.arff"
    path.write_text(text)
    with pytest.raises(CorpusError, match=message):
        list(read_arff(path))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name;arousal\na;1\n", "a column timestamp"),
        ("name;timestamp;arousal\na;0;1\na;0;2\n", "line 3: expected a time after 0.0"),
        ("name;timestamp;arousal\na;0;1\nb;1;2\n", "line 3: expected frames of one recording"),
        ("name;timestamp;arousal\na;0;1;2\n", "line 2: expected 3 values"),
        ("name;timestamp;arousal\na;0;x\n", "line 2: expected a finite number"),
        ("name;timestamp;arousal\na;?;1\n", "a time in every row"),
        ("name;timestamp;arousal\n", "at least one frame"),
        ("name;timestamp;a;a\nx;0;1;1\n", "each column once"),
        ("lonely\n", "a time and values"),
    ],
)
def test_a_bad_frame_table_is_refused_with_its_line(tmp_path, text, message):
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(CorpusError, match=message):
        read_frames(path)


def test_labels_without_a_dimension_and_features_of_two_widths_are_refused(tmp_path):
    raw = tmp_path / "raw"
    sewa_labels(raw / "labels", "Train_01", 2)
    sewa_labels(raw / "labels", "Train_02", 2)
    features(raw / "bow", "Train_01", [0, 0.1])
    features(raw / "bow", "Train_02", [0, 0.1], width=3)
    with pytest.raises(CorpusError, match="expected 2 values a frame, as other recordings, got 3"):
        prepare(Sewa, None, raw, tmp_path / "out", audio="bow")
    assert not (tmp_path / "out").exists()
    path = raw / "labels" / "Train_01.csv"
    path.write_text(path.read_text().replace("liking", "loathing"))
    with pytest.raises(CorpusError, match="a column liking"):
        prepare(Sewa, None, raw, tmp_path / "out")


def test_partitions_by_name():
    names = ["Train_01", "dev_3", "development001", "Devel_DE_01", "TEST_9", "testing", "P23"]
    assert [partition(name) for name in names] == ["train", *["validation"] * 3, "test", None, None]


@pytest.mark.corpus
def test_the_real_sewa_gold_standard(tmp_path):
    raw = Path(os.environ.get("MM_EMOTION_DATA", "/none")) / "sewa_avec2019"
    if not raw.is_dir():
        pytest.skip("MM_EMOTION_DATA holds no sewa_avec2019")
    manifest = prepare(Sewa, None, raw, tmp_path / "out")
    assert manifest.found["utterances"] == 40_032 and manifest.found["dialogues"] == 28
    assert manifest.found["frames without a label"] == 0
    assert set(load_prepared(tmp_path / "out")["split"]) == {"validation"}
