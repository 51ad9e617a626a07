"""Predictions keep row order whatever the batches, and result files keep one row a run and metric."""

import csv

import numpy as np
import pytest
import torch

from mm_emotion import metrics
from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.errors import CorpusError
from mm_emotion.training.evaluation import (
    RESULT_COLUMNS,
    Prediction,
    intervals,
    mean_loss,
    monitored_value,
    predict,
    read_results,
    result_rows,
    scores,
    subset,
    write_results,
)
from mm_emotion.training.recipe import parse_recipe
from mm_emotion.training.stages import build_model

RECIPE = parse_recipe(
    """
corpus: {name: iemocap, labels: six_way, split: session5_test}
model: {model_type: bc_lstm, modality_dims: {text: 8}, recurrent_size: 5, hidden_size: 7, dropout: 0.5}
training: {epochs: 1, batch_size: 4, learning_rate: 1e-3}
""",
    "test",
)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return build_model(RECIPE)


@pytest.fixture(scope="module")
def dataset(corpus):
    return DialogueDataset(corpus, unit="dialogue", columns=["text"])


def test_predictions_come_in_row_order_for_any_batch_size(model, dataset, corpus):
    whole = predict(model, dataset, EmotionCollator(2))
    single = predict(model, dataset, EmotionCollator(2), batch_size=1)
    assert whole.logits.shape == (len(corpus), 6)
    assert whole.hidden_states.shape == (len(corpus), 7)
    np.testing.assert_allclose(whole.logits, single.logits, atol=1e-6)
    assert whole.labels.tolist() == list(corpus["label"])
    assert whole.dialogue_ids.tolist() == list(corpus["dialogue_id"])
    first = EmotionCollator(2)([dataset[0]])
    first.pop("labels")
    with torch.no_grad():
        alone = model.eval()(**first).logits[0]
    np.testing.assert_allclose(whole.logits[: dataset.lengths[0]], alone, atol=1e-6)


def test_predicting_leaves_the_model_in_its_mode(model, dataset):
    model.train()
    predict(model, dataset, EmotionCollator(2))
    assert model.training


def test_the_loss_of_a_part_is_the_mean_over_its_labelled_rows(model, dataset):
    prediction = predict(model, dataset, EmotionCollator(2))
    expected = torch.nn.functional.cross_entropy(
        torch.from_numpy(prediction.logits), torch.from_numpy(prediction.labels)
    )
    assert mean_loss(prediction, model) == pytest.approx(float(expected), rel=1e-5)


def make(logits, labels, dialogues=None) -> Prediction:
    logits = np.asarray(logits, dtype=np.float32)
    ids = np.asarray(dialogues or ["d"] * len(logits), dtype=object)
    return Prediction(logits, np.zeros((len(logits), 1), np.float32), np.asarray(labels), ids)


def test_scores_leave_out_context_only_rows():
    prediction = make([[2, 0], [2, 0], [0, 2]], [0, 1, -100])
    assert scores(prediction, False)["accuracy"] == 0.5
    with pytest.raises(CorpusError, match="labelled utterance"):
        scores(make([[1, 0]], [-100]), False)


def test_regression_scores_leave_out_missing_values():
    prediction = make([[1.0], [2.0], [9.0]], np.array([[1.5], [2.5], [np.nan]], dtype=np.float32))
    found = scores(prediction, True)
    assert found["mean_absolute_error"] == pytest.approx(0.5)
    assert found["pearson"] == pytest.approx(1.0)


def test_a_monitor_knows_which_way_is_better(model):
    prediction = make(np.eye(6), np.arange(6))
    value, better = monitored_value("weighted_f1", prediction, model)
    assert value == 1.0
    assert better(0.9, 0.8)
    _, better = monitored_value("loss", prediction, model)
    assert better(0.8, 0.9)


def test_intervals_hold_the_value_and_widen_with_disagreement():
    random = np.random.default_rng(0)
    labels = random.integers(0, 3, 300)
    noisy = np.where(random.random(300) < 0.3, random.integers(0, 3, 300), labels)
    prediction = make(np.eye(3)[noisy], labels, [f"d{index // 10}" for index in range(300)])
    low, high = intervals(prediction)["weighted_f1"]
    assert low < scores(prediction, False)["weighted_f1"] < high
    assert 0.02 < high - low < 0.3


def test_a_subset_keeps_the_rows_asked_for():
    part = subset(make([[1, 0], [0, 1]], [0, 1], ["a", "b"]), np.array([False, True]))
    assert (part.labels.tolist(), part.dialogue_ids.tolist()) == ([1], ["b"])


STAMP = {
    "recipe": "r", "corpus": "c", "labels": "l", "split": "s", "fold": "test", "seed": 0, "selected_on": "validation",
    "causal": "true", "parameters": 3,
}  # fmt: skip


def test_results_merge_by_run_and_metric(tmp_path):
    path = tmp_path / "results.csv"
    write_results(path, result_rows(STAMP, {"accuracy": 0.5, "weighted_f1": 0.25}, 10))
    write_results(path, result_rows({**STAMP, "seed": 1}, {"accuracy": 0.75}, 10))
    write_results(path, result_rows(STAMP, {"accuracy": 1 / 3}, 10))
    rows = read_results(path)
    assert [(row["seed"], row["metric"], float(row["value"])) for row in rows] == [
        ("0", "accuracy", 0.333333),
        ("0", "weighted_f1", 0.25),
        ("1", "accuracy", 0.75),
    ]
    assert "torch=" in rows[0]["versions"]
    assert rows[0]["commit"]
    with path.open(newline="") as file:
        assert tuple(next(csv.reader(file))) == RESULT_COLUMNS


def test_versions_are_written_once_and_read_in_every_row(tmp_path):
    path = tmp_path / "results.csv"
    old = [{**row, "versions": "torch=1 numpy=2"} for row in result_rows(STAMP, {"accuracy": 0.5, "macro_f1": 0.1}, 10)]
    with path.open("w", newline="") as file:  # as older releases wrote it, every row in full
        writer = csv.DictWriter(file, RESULT_COLUMNS)
        writer.writeheader()
        writer.writerows(old)
    assert {row["versions"] for row in read_results(path)} == {"torch=1 numpy=2"}
    write_results(path, result_rows({**STAMP, "seed": 1}, {"accuracy": 0.5, "macro_f1": 0.1}, 10))
    assert path.read_text().count("torch=1 numpy=2") == 1
    assert path.read_text().count("transformers=") == 1
    rows = read_results(path)
    assert [row["versions"] for row in rows if row["seed"] == "0"] == ["torch=1 numpy=2"] * 2
    assert ["torch=" in row["versions"] and "=1 " not in row["versions"] for row in rows] == [False, False, True, True]


def test_versions_that_stand_nowhere_are_refused(tmp_path):
    path = tmp_path / "results.csv"
    write_results(path, result_rows(STAMP, {"accuracy": 0.5, "macro_f1": 0.1}, 10))
    head, _, last = path.read_text().splitlines()
    path.write_text(f"{head}\n{last}\n")
    with pytest.raises(CorpusError, match="versions of results file"):
        read_results(path)


def test_a_results_file_with_other_columns_is_refused(tmp_path):
    path = tmp_path / "results.csv"
    path.write_text("recipe,value\nx,1\n")
    with pytest.raises(CorpusError, match="columns recipe, corpus"):
        write_results(path, result_rows(STAMP, {"accuracy": 1.0}, 1))
    assert path.read_text() == "recipe,value\nx,1\n"


def test_metric_names_are_those_of_the_metrics_room():
    for name in scores(make([[1, 0]], [0]), False):
        assert name in metrics.__all__
