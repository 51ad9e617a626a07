"""Opening corpora, and dialogues as items."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Array2D, List, Value

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import TABLE_FEATURES, DialogueDataset, load_prepared, open_corpus
from mm_emotion.errors import CorpusError, FeatureError

DATA = os.environ.get("MM_EMOTION_DATA")
HEADER = "---\nconfigs:\n- config_name: {name}\n  data_files:\n  - split: corpus\n    path: {path}\n---\n# Corpus\n"


@pytest.fixture(autouse=True)
def own_places(monkeypatch, tmp_path_factory):
    monkeypatch.delenv("MM_EMOTION_DATA", raising=False)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.getbasetemp() / "datasets")


def write(folder: Path, rows, name: str = "six_way", path: str = "data/corpus.parquet") -> Path:
    (folder / "data").mkdir(parents=True, exist_ok=True)
    rows.to_parquet(folder / "data" / "corpus.parquet")
    (folder / "README.md").write_text(HEADER.format(name=name, path=path), encoding="utf-8")
    return folder


def test_a_prepared_folder_comes_back_as_it_was(tmp_path, make_rows):
    audio = [np.ones((number % 3 + 1, 2)) if number % 4 else None for number in range(60)]
    rows = make_rows(audio=audio, extra={"audio": Array2D((None, 2), "float32")})
    back = load_prepared(write(tmp_path, rows))
    assert back.features == rows.features
    plain = [name for name in rows.column_names if name != "audio"]
    assert back.select_columns(plain)[:] == rows.select_columns(plain)[:]
    assert open_corpus("iemocap", "six_way", tmp_path, ["text", "audio"]).features == rows.features


def test_a_folder_written_anew_is_read_anew(tmp_path, make_rows):
    assert len(load_prepared(write(tmp_path, make_rows()))) == 60
    assert len(load_prepared(write(tmp_path, make_rows(sessions=3)))) == 36


def test_several_files_and_configurations(tmp_path, make_rows):
    rows = make_rows()
    rows.select(range(30)).to_parquet(tmp_path / "a.parquet")
    rows.select(range(30, 60)).to_parquet(tmp_path / "b.parquet")
    assert load_prepared(tmp_path)["utterance_id"][:] == rows["utterance_id"][:]
    one, two = "{config_name: one, data_files: a.parquet}", "{config_name: two, data_files: ['*.parquet']}"
    text = f"---\nconfigs: [{one}, {two}]\n---\n"
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    assert len(load_prepared(tmp_path, "one")) == 30 and len(load_prepared(tmp_path, "two")) == 60
    with pytest.raises(CorpusError, match="one of one, two, got None"):
        load_prepared(tmp_path)


def test_bad_prepared_folders_are_refused(tmp_path, make_rows):
    with pytest.raises(CorpusError, match="a prepared folder"):
        load_prepared(tmp_path)
    folder = write(tmp_path / "outside", make_rows(), path="../data/corpus.parquet")
    with pytest.raises(CorpusError, match="outside the folder"):
        load_prepared(folder)
    with pytest.raises(CorpusError, match="parquet files, got none"):
        load_prepared(write(tmp_path / "absent", make_rows(), path="data/train.parquet"))
    folder = write(tmp_path / "broken", make_rows())
    (folder / "data" / "corpus.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(CorpusError, match="parquet files of the same columns"):
        load_prepared(folder)
    (folder / "README.md").write_text("---\nconfigs:\n- {config_name: a}\n---\n", encoding="utf-8")
    with pytest.raises(CorpusError, match="configs with config_name and data_files"):
        load_prepared(folder)
    with pytest.raises(FeatureError, match="'s1d00u0'"):
        load_prepared(write(tmp_path / "nan", make_rows(text=[[np.nan]] * 60)))


def test_the_environment_variable_points_to_corpora(tmp_path, monkeypatch, make_rows):
    with pytest.raises(CorpusError, match=r"mm-emotion prepare iemocap.*MM_EMOTION_DATA"):
        open_corpus("iemocap", "six_way")
    monkeypatch.setenv("MM_EMOTION_DATA", str(tmp_path))
    with pytest.raises(CorpusError, match=f"nothing usable at {tmp_path}/iemocap"):
        open_corpus("iemocap", "six_way")
    write(tmp_path / "iemocap", make_rows())
    assert len(open_corpus("iemocap", "six_way")) == 60
    write(tmp_path / "iemocap" / "six_way", make_rows(sessions=3))
    assert len(open_corpus("iemocap", "six_way")) == 36
    with pytest.raises(CorpusError, match="nothing usable"):
        open_corpus("iemocap", "six_way", tmp_path)


def test_other_labels_than_asked_for_are_refused(tmp_path, make_rows):
    write(tmp_path, make_rows())
    # the same names in the same order, but other utterances
    with pytest.raises(CorpusError, match="expected six_way_dialogue, got six_way"):
        open_corpus("iemocap", "six_way_dialogue", tmp_path)
    write(tmp_path, make_rows(), name="default")
    with pytest.raises(CorpusError, match="label names of iemocap"):
        open_corpus("iemocap", "four_way", tmp_path)
    with pytest.raises(CorpusError, match="label_set"):
        open_corpus("iemocap", "five_way", tmp_path)
    with pytest.raises(CorpusError, match="no mocap"):
        open_corpus("iemocap", "six_way", tmp_path, ["mocap"])


def test_one_affect_dimension_of_a_prepared_corpus(tmp_path, make_rows):
    affect = [[number, 2.0, np.nan, 4.0] for number in range(59)] + [None]
    rows = make_rows(label=None, affect=affect, extra={"affect": List(Value("float32"), length=4)})
    write(tmp_path / "four", rows, name="default")
    power = open_corpus("semaine", "power", tmp_path / "four")
    assert power["affect"][:] == [[4.0]] * 59 + [None]
    assert open_corpus("semaine", "valence", tmp_path / "four")["affect"][7] == [7.0]
    with pytest.raises(CorpusError, match="affect of sewa: expected 3 values"):
        open_corpus("sewa", "valence", tmp_path / "four")
    rows = make_rows(valence=[1.5] * 59 + [None], extra={"valence": Value("float32")})
    valence = open_corpus("iemocap", "valence", write(tmp_path / "columns", rows))
    assert valence["affect"][:] == [[1.5]] * 59 + [None] and "label" not in valence.column_names


def test_several_dimensions_at_once(tmp_path, make_rows):
    seven = make_rows(
        label=None,
        affect=[[number, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0] for number in range(59)] + [None],
        extra={"affect": List(Value("float32"), length=7)},
    )
    write(tmp_path / "seven", seven, name="default")
    opened = open_corpus("cmu_mosei", "six_intensities", tmp_path / "seven")
    assert opened["affect"][:] == [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]] * 59 + [None]
    assert open_corpus("cmu_mosei", "sentiment", tmp_path / "seven")["affect"][58] == [58.0]
    six = make_rows(label=None, affect=[[1.0] * 6] * 60, extra={"affect": List(Value("float32"), length=6)})
    write(tmp_path / "six", six, name="default")
    assert open_corpus("cmu_mosei", "six_intensities", tmp_path / "six")["affect"][0] == [1.0] * 6
    with pytest.raises(CorpusError, match="affect of cmu_mosei: expected 7 values"):
        open_corpus("cmu_mosei", "sentiment", tmp_path / "six")


def test_a_table_beside_its_features_is_opened(tmp_path, monkeypatch):
    rows = [
        {"utt_id": f"v_{n}", "video": "v", "segment": n, "text": "w", "label_binary": n % 2, "start": n, "end": n + 1}
        | {"bclstm_split": "train", "sentiment": n / 2}
        for n in (1, 2, 10)
    ]
    folder = tmp_path / "mosi"
    folder.mkdir()
    (folder / "utterances.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    file, (array,) = TABLE_FEATURES["cmu_mosi"]["text"]
    np.savez(folder / file, **{"utt_id": ["v_1", "v_2", "v_10"], array: np.eye(3)})
    monkeypatch.setenv("MM_EMOTION_DATA", str(tmp_path))
    opened = open_corpus("cmu_mosi", "binary", features=["text"])
    assert opened["text"][:] == np.eye(3).tolist() and opened["position"][:] == [0, 1, 2]
    assert open_corpus("cmu_mosi", "sentiment")["affect"][:] == [[0.5], [1.0], [5.0]]
    assert len(open_corpus("cmu_mosi", "binary", folder / "utterances.jsonl")) == 3
    with pytest.raises(CorpusError, match="some of text, audio, visual, got mocap"):
        open_corpus("cmu_mosi", "binary", features=["mocap"])


def test_dialogues_hold_their_rows_in_position_order(make_rows):
    rows = make_rows(sessions=2, dialogues=1)
    shuffled = rows.select([5, 1, 0, 3, 2, 4])
    dataset = DialogueDataset(shuffled, unit="dialogue", columns=["text"])
    assert dataset.dialogue_ids == ["s2d00", "s1d00"] and dataset.lengths == [3, 3] and len(dataset) == 2
    assert [row["utterance_id"] for row in dataset[0]] == ["s2d00u0", "s2d00u1", "s2d00u2"]
    assert set(dataset[1][0]) == {"utterance_id", "dialogue_id", "party", "text", "label"}
    assert dataset[1][2]["text"].tolist() == [1, 0, 2] and dataset[1][2]["text"].dtype == np.float32
    with pytest.raises(IndexError):
        dataset[2]


def test_columns_too_large_to_keep_are_made_when_an_item_is_taken(make_rows):
    rows, calls = make_rows(), []

    def make(row: dict) -> np.ndarray:
        calls.append(row["utterance_id"])
        return np.full(2, row["start"])

    dataset = DialogueDataset(rows, unit="utterance", columns=[], made={"visual": make})
    assert calls == []
    (row,) = dataset[1]
    assert calls == [row["utterance_id"]]
    wanted = dict(zip(rows["utterance_id"], rows["start"], strict=True))[row["utterance_id"]]
    assert row["visual"].tolist() == [wanted, wanted]
    assert "video_path" not in row


def test_single_utterances_are_dialogues_of_one(make_rows):
    dataset = DialogueDataset(make_rows(), unit="utterance", columns=["text"])
    assert len(dataset) == 60 and dataset.lengths == [1] * 60 and dataset.dialogue_ids[:4] == ["s1d00"] * 3 + ["s1d01"]
    assert [row["utterance_id"] for row in dataset[4]] == ["s1d01u1"]


@pytest.mark.parametrize("unit", ["dialogue", "utterance"])
def test_labels_run_along_the_items(make_rows, unit):
    rows = make_rows(sessions=1, dialogues=2, label=[1, None, 3, 4, 5, None]).select([3, 4, 5, 0, 1, 2])
    dataset = DialogueDataset(rows, unit=unit, columns=[])
    assert dataset.labels.tolist() == [4, 5, -100, 1, -100, 3] and dataset.labels.dtype == np.int64
    in_items = [-100 if row["label"] is None else row["label"] for item in dataset for row in item]
    assert in_items == dataset.labels.tolist()


def test_affect_labels_and_no_labels(make_rows):
    values = [[1.0, np.nan], None, [2.0, 3.0]]
    rows = make_rows(sessions=1, dialogues=1, label=None, affect=values, extra={"affect": List(Value("float32"))})
    labels = DialogueDataset(rows, unit="dialogue", columns=[]).labels
    assert np.array_equal(labels, np.float32([[1, np.nan], [np.nan] * 2, [2, 3]]), equal_nan=True)
    assert DialogueDataset(make_rows(label=None), unit="dialogue", columns=["text"]).labels is None


def test_items_go_through_loader_and_collator(make_rows):
    audio = [np.full((number % 3 + 1, 2), number) if number % 4 else None for number in range(60)]
    rows = make_rows(audio=audio, extra={"audio": Array2D((None, 2), "float32")})
    dataset = DialogueDataset(rows, unit="dialogue", columns=["text", "audio"])
    loader = torch.utils.data.DataLoader(dataset, batch_size=8, collate_fn=EmotionCollator())
    batches = list(loader)
    assert [batch["utterance_mask"].sum().item() for batch in batches] == [24, 24, 12]
    assert torch.equal(torch.cat([batch["labels"] for batch in batches]).flatten(), torch.from_numpy(dataset.labels))
    assert batches[0]["audio"][0, 2].tolist() == [[2, 2], [2, 2], [2, 2]]
    assert not batches[0]["modality_mask"][0, 0, 1] and batches[0]["modality_mask"][0, 1, 1]


def test_a_table_that_is_not_prepared_is_told_how_to_be(tmp_path):
    table = tmp_path / "my.csv"
    table.write_text("text,label\na,b\n")
    with pytest.raises(CorpusError, match=r"a prepared folder, got the table .*prepare table --data .*my\.csv"):
        open_corpus("table", "own", table)


def test_bad_requests_are_refused(make_rows):
    with pytest.raises(CorpusError, match="unit"):
        DialogueDataset(make_rows(), unit="sentence", columns=[])
    with pytest.raises(CorpusError, match="'audio'"):
        DialogueDataset(make_rows(), unit="dialogue", columns=["audio"])
    with pytest.raises(CorpusError, match="at least one utterance"):
        DialogueDataset(make_rows().select([]), unit="dialogue", columns=[])


@pytest.mark.corpus
def test_the_real_dialogues_go_through_the_collator():
    if DATA is None or not (Path(DATA) / "iemocap").exists():
        pytest.skip("MM_EMOTION_DATA holds no iemocap")
    rows = open_corpus("iemocap", "six_way_dialogue", Path(DATA) / "iemocap", ["audio"])
    dataset = DialogueDataset(rows, unit="dialogue", columns=["audio"])
    batch = EmotionCollator(num_parties=2)([dataset[number] for number in range(len(dataset))])
    assert batch["audio"].shape == (151, 110, 16) and batch["speaker_mask"].shape == (151, 110, 2)
    assert batch["utterance_mask"].sum() == 7433 == (batch["labels"] >= 0).sum()
    assert batch["modality_mask"][..., 1].sum() == 7433 - 2  # two utterances have no acoustic features
