"""Reports say what they compare, and the table never averages over label sets, splits or selections."""

from pathlib import Path

import numpy as np
import pytest

from mm_emotion.data.splits import Split
from mm_emotion.errors import CheckpointError
from mm_emotion.training.evaluation import Prediction, RunFacts, part_results, read_results, write_results
from mm_emotion.training.recipe import load_recipe, parse_recipe
from mm_emotion.training.report import render_results, write_leaderboard, write_report
from mm_emotion.training.saved import Evaluation

SPLIT = Split("session5_test", True, ("a",), ("b",), ("c",))
RECIPE = parse_recipe(
    """
corpus: {name: iemocap, labels: six_way, split: session5_test}
model: {model_type: bc_lstm, modality_dims: {text: 8}}
training: {epochs: 1, batch_size: 4, learning_rate: 1e-3}
published: {weighted_f1: 54.95}
note: A remark of the recipe.
""",
    "paper/row",
)


def evaluation(right: float, folder: str, rows: int = 120, recipe=RECIPE, split=SPLIT) -> Evaluation:
    """A made-up system that is right on the given share of rows."""
    random = np.random.default_rng(0)
    labels = random.integers(0, 6, rows)
    guesses = np.where(np.arange(rows) < right * rows, labels, (labels + 1) % 6)
    dialogues = np.array([f"d{index // 10}" for index in range(rows)], dtype=object)
    prediction = Prediction(np.eye(6, dtype=np.float32)[guesses], np.zeros((rows, 1), np.float32), labels, dialogues)
    facts = RunFacts(split, 0, "validation", False, 1234)
    return Evaluation(Path(folder), recipe, prediction, "test", facts, None, ["a note of the split"])


def test_a_report_names_its_numbers(tmp_path):
    text = write_report(evaluation(0.75, "x"), tmp_path)
    assert (tmp_path / "report.md").read_text() == text
    assert "120 labelled utterances of 12 dialogues" in text
    assert "1,234 parameters, not causal" in text
    assert "- a note of the split" in text
    assert "- A remark of the recipe." in text
    assert "| accuracy | 0.750 |" in text
    assert "| 0.549 |" in text or "| 0.550 |" in text
    assert len(read_results(tmp_path / "results.csv")) == 10


def test_two_systems_of_one_recipe_are_told_apart_by_their_folders(tmp_path):
    text = write_report(evaluation(0.75, "better"), tmp_path, evaluation(0.5, "worse"))
    assert "| metric | better | 95 % over dialogues | worse | published |" in text
    assert "Weighted F1 of better minus worse: **+0.2" in text
    accuracy = [row["value"] for row in read_results(tmp_path / "results.csv") if row["metric"] == "accuracy"]
    assert accuracy == ["0.75"]


def test_systems_on_other_rows_are_not_compared(tmp_path):
    with pytest.raises(CheckpointError, match="the 120 rows of x"):
        write_report(evaluation(0.75, "x"), tmp_path, evaluation(0.75, "y", rows=60))


def rows_of(one: Evaluation, seed: int, **changes) -> list[dict]:
    facts = RunFacts(one.facts.split, seed, "validation", False, 1234)
    return [{**row, **changes} for row in part_results(one.recipe, facts, one.prediction, "test")]


def test_the_table_keeps_label_sets_splits_and_selections_apart(tmp_path):
    path = tmp_path / "results.csv"
    for seed, right in enumerate((0.5, 0.6)):
        write_results(path, rows_of(evaluation(right, "x"), seed))
    write_results(path, rows_of(evaluation(0.9, "x"), 0, labels="six_way_dialogue"))
    write_results(path, rows_of(evaluation(0.8, "x"), 0, selected_on="test (legacy, leaks)"))
    shared = Split("published", False, ("a",), ("b",), ("c",))
    write_results(path, rows_of(evaluation(0.7, "x", split=shared), 0))
    lines = [line for line in write_leaderboard(path).splitlines() if line.startswith("| paper/row")]
    assert len(lines) == 4
    assert (tmp_path / "RESULTS.md").read_text().count("| paper/row") == 4
    assert sum("| 2 |" in line for line in lines) == 1
    assert sum("(speaker_independent: false)" in line for line in lines) == 1
    two = next(line for line in lines if "| 2 |" in line)
    assert "55.0 ± 7.1" in two


def test_features_that_saw_test_labels_are_named_beside_the_split():
    seen = Split("sdk_standard", True, ("a",), ("b",), ("c",), seen_features=True)
    assert {row["split"] for row in rows_of(evaluation(0.5, "x", split=seen), 0)} == {
        "sdk_standard (features saw test labels)"
    }


def test_published_figures_stand_beside_ours():
    recipe = load_recipe("bc_lstm/iemocap_bc_lstm_text")
    rows = [{**row, "recipe": recipe.name} for row in rows_of(evaluation(0.5, "x"), 0)]
    assert "| 54.95 |" in render_results([{k: str(v) for k, v in row.items()} for row in rows], {recipe.name: recipe})


def test_affect_has_a_table_of_its_own():
    prediction = Prediction(
        np.array([[0.5], [0.1]], np.float32), np.zeros((2, 1), np.float32), np.array([[0.4], [0.3]], np.float32),
        np.array(["a", "b"], dtype=object),
    )  # fmt: skip
    recipe = load_recipe("dialogue_rnn/semaine_valence")
    rows = part_results(recipe, RunFacts(SPLIT, 0, "validation", True, 5), prediction, "test")
    text = render_results([{key: str(value) for key, value in row.items()} for row in rows], {})
    assert "| MAE | r | CCC |" in text
    assert "| 0.150 |" in text
