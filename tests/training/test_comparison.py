"""Comparisons tell noise from difference, and are of the same rows."""

import numpy as np
import pytest

from mm_emotion.errors import CheckpointError
from mm_emotion.metrics import weighted_f1
from mm_emotion.training import comparison
from mm_emotion.training.comparison import compare, difference_table, score_table, selection_table, system
from mm_emotion.training.evaluation import LEGACY, RESULT_COLUMNS, Prediction, write_results

LABELS = np.random.default_rng(0).integers(0, 6, 400)
DIALOGUES = np.repeat(np.arange(20), 20).astype(str)
NAMES = ["bc_lstm/iemocap_bc_lstm_text", "dialogue_rnn/iemocap_cmn_text", "ours/iemocap_text"]


def prediction(right: float, seed: int, labels=LABELS) -> Prediction:
    """A made-up system that is right on about the given share of rows."""
    random = np.random.default_rng([seed, int(100 * right)])
    guesses = np.where(random.random(len(labels)) < right, labels, random.integers(0, 6, len(labels)))
    return Prediction(np.eye(6)[guesses], np.zeros((len(labels), 1)), labels, DIALOGUES[: len(labels)])


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def result(name: str, seed: int, selected_on: str, value: float) -> dict[str, object]:
    row = dict.fromkeys(RESULT_COLUMNS, "x")
    return (
        row
        | {"recipe": name, "fold": "test", "seed": seed, "selected_on": selected_on, "metric": "weighted_f1"}
        | {"value": value}
    )


def test_recipes_without_results_and_systems_are_named(tmp_path):
    write_results(tmp_path / "results.csv", [result(NAMES[0], 0, "validation", 0.5)])
    with pytest.raises(CheckpointError, match=r"recipes: expected results of demo/nope in .*, or systems .*got none"):
        compare([NAMES[0], "demo/nope"], tmp_path / "results.csv", tmp_path / "runs")
    with pytest.raises(CheckpointError, match=f"both choices .* got neither of {NAMES[0]}"):
        compare(NAMES[:1], tmp_path / "results.csv", tmp_path / "runs")


def test_a_large_difference_is_bold_and_a_small_one_is_not():
    systems = [
        system(name, [prediction(right, seed) for seed in range(3)])
        for name, right in {"a": 0.3, "b": 0.8, "c": 0.81}.items()
    ]
    table = [cells(line) for line in difference_table(systems)[2:]]
    assert [row[0] for row in table] == ["b", "c"]
    assert table[0][1].startswith("**+") and table[0][2] == ""
    assert table[1][1].startswith("**+") and not table[1][2].startswith("**")
    scores = [cells(line) for line in score_table(systems)[2:]]
    assert scores[0][4] == "3 to 3" and scores[1][1] == "3"
    assert scores[2][2].startswith(f"{100 * systems[2].scores.mean():.1f} ±")


def test_seeds_that_differ_widen_the_interval():
    same = system("a", [prediction(0.5, 0)] * 3)
    other = system("a", [prediction(right, 0) for right in (0.2, 0.5, 0.8)])
    assert other.draws.std() > 1.5 * same.draws.std()
    one = prediction(0.5, 0)
    assert same.scores[0] == weighted_f1(one.classes, one.labels)
    assert system("b", [one]).draws == pytest.approx(same.draws)


def test_selection_on_the_test_part_is_the_difference_within_a_run():
    rows = [result(NAMES[0], seed, "validation", 0.50 + seed / 100) for seed in range(3)]
    rows += [result(NAMES[0], seed, LEGACY, 0.52 + seed / 50) for seed in range(2)]
    rows += [result(NAMES[1], 0, "validation", 0.4), {**result(NAMES[0], 7, LEGACY, 1.0), "fold": "validation"}]
    (line,) = selection_table(rows, NAMES)[2:]
    assert cells(line) == [NAMES[0], "54.95", "2", "50.5 ± 0.7", "53.0 ± 1.4", "+2.5 ± 0.7", "+3.0"]


def test_recipes_without_saved_systems_are_only_in_the_first_table(tmp_path, monkeypatch):
    rows = [result(name, 0, chosen, 0.5) for name in NAMES for chosen in ("validation", LEGACY)]
    write_results(tmp_path / "results.csv", rows)
    made = {"cmn": prediction(0.6, 1), "bc_lstm": prediction(0.5, 2)}
    for name in NAMES[:2]:
        (tmp_path / "runs" / name / "seed0" / "model").mkdir(parents=True)
    monkeypatch.setattr(comparison, "recipe_of", lambda folder: None)
    monkeypatch.setattr(comparison, "open_corpus_of", lambda recipe, data: None)

    class Found:
        def __init__(self, folder, corpus):
            self.prediction = made["cmn" if "cmn" in str(folder) else "bc_lstm"]

    monkeypatch.setattr(comparison, "evaluate_folder", Found)
    text = compare(NAMES, tmp_path / "results.csv", tmp_path / "runs")
    assert text.count(NAMES[2]) == 1 and text.count(f"| {NAMES[1]} |") == 3
    made["cmn"] = prediction(0.6, 1, LABELS[:100])
    with pytest.raises(CheckpointError, match=f"systems of {NAMES[1]}: expected the 400 rows"):
        compare(NAMES, tmp_path / "results.csv", tmp_path / "runs")
