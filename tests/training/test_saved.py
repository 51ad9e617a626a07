"""A saved system answers for its folder, and encoding takes nobody else's folder."""

import csv
import shutil

import pytest

from mm_emotion.data.corpus import load_prepared
from mm_emotion.errors import CheckpointError, CorpusError
from mm_emotion.training.evaluation import read_results, write_results
from mm_emotion.training.report import write_report
from mm_emotion.training.saved import encode_folder, evaluate_folder, recipe_of


def test_a_folder_without_a_recipe_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"recipe\.yaml"):
        recipe_of(tmp_path)


def test_an_evaluation_knows_its_part(system, prepared):
    corpus = load_prepared(prepared)
    test, validation = (evaluate_folder(system, corpus, part) for part in ("test", "validation"))
    assert not set(test.prediction.dialogue_ids) & set(validation.prediction.dialogue_ids)
    assert test.facts.parameters == validation.facts.parameters


def test_a_leak_that_the_run_recorded_is_still_marked(system, prepared, tmp_path):
    copied = tmp_path / "system"
    shutil.copytree(system, copied)
    results = copied / "results.csv"
    with results.open(newline="") as file:
        rows = [{**row, "selected_on": "test (legacy, leaks)"} for row in csv.DictReader(file)]
    results.unlink()
    write_results(results, rows)
    evaluation = evaluate_folder(copied, load_prepared(prepared))
    assert evaluation.facts.selected_on == "test (legacy, leaks)"
    assert "epoch chosen on test (legacy, leaks)" in write_report(evaluation, tmp_path / "report")
    assert {row["selected_on"] for row in read_results(tmp_path / "report" / "results.csv")} == {"test (legacy, leaks)"}


def test_encoding_takes_a_new_folder_or_its_own_earlier_result(system, prepared, tmp_path):
    corpus = load_prepared(prepared)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(CorpusError, match="a new folder"):
        encode_folder(system, corpus, "text", precious)
    with pytest.raises(CorpusError, match="a new folder"):
        encode_folder(system, corpus, "text", precious / "thesis.txt")
    assert (precious / "thesis.txt").read_text() == "years of work"
    for _ in range(2):
        encode_folder(system, corpus, "text", tmp_path / "encoded")
    assert len(load_prepared(tmp_path / "encoded")) == len(corpus)
