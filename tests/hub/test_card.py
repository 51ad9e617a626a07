"""The card of a saved system: metadata that the Hub's client accepts, figures of the run, and a snippet that runs."""

import re
import shutil
import tomllib
from pathlib import Path

import pytest
import yaml
from huggingface_hub import EvalResult, ModelCard, parse_eval_result_entries

from mm_emotion.__main__ import main
from mm_emotion.errors import CheckpointError, RecipeError
from mm_emotion.hub.card import TEMPLATE, render_card, write_card
from mm_emotion.hub.system import SEEDS_FILE, System
from mm_emotion.hub.terms import CORPUS_TERMS, consent
from mm_emotion.hub.tiny import tiny_checkpoint
from mm_emotion.models import MODELS
from mm_emotion.schema import AFFECT_DIMENSIONS, LABEL_SETS
from mm_emotion.training.confusion import read_confusion
from mm_emotion.training.evaluation import read_results, write_results
from mm_emotion.training.recipe import load_recipe, save_recipe


@pytest.fixture
def folder(system, tmp_path):
    return shutil.copytree(system, tmp_path / "model")


def test_the_command_writes_card_picture_and_metadata(folder, capsys):
    assert main(["card", str(folder)]) == 0
    assert capsys.readouterr().out == f"wrote {folder / 'README.md'}\n"
    assert (folder / "confusion_matrix.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    card = ModelCard.load(folder / "README.md")
    data = card.data.to_dict()
    assert (data["library_name"], data["pipeline_tag"]) == ("transformers", "audio-classification")
    assert {"mm_emotion", "text", "audio", "hierarchical"} <= set(data["tags"])
    assert "license" not in data
    values = {
        row["metric"]: float(row["value"]) for row in read_results(folder / "results.csv") if row["fold"] == "test"
    }
    found = {result.metric_type: result for result in card.data.eval_results}
    assert all(isinstance(result, EvalResult) for result in found.values())
    assert found["weighted_f1"].metric_value == pytest.approx(values["weighted_f1"])
    assert (found["accuracy"].dataset_type, found["accuracy"].dataset_config) == ("generated_iemocap", "six_way")
    assert found["accuracy"].dataset_name == "a generated corpus in the layout of IEMOCAP"
    assert "trained on a generated corpus" in card.text.replace("\n", " ") and "sail.usc.edu" not in card.text
    (path,) = (folder / ".eval_results").iterdir()
    entries = {entry.task_id: entry for entry in parse_eval_result_entries(yaml.safe_load(path.read_text()))}
    assert entries["six_way_accuracy"].value == pytest.approx(values["accuracy"])
    assert "chosen on validation" in entries["six_way_accuracy"].notes


def test_the_table_of_classes_is_that_of_the_run(folder):
    text = write_card(folder, "org/demo")
    confusion = read_confusion(folder)
    rows = {row["metric"]: row for row in read_results(folder / "results.csv") if row["fold"] == "test"}
    assert confusion.counts.sum() == int(rows["accuracy"]["n"])
    assert confusion.counts.trace() / confusion.counts.sum() == pytest.approx(
        float(rows["accuracy"]["value"]), abs=1e-6
    )
    assert confusion.f1.mean() == pytest.approx(float(rows["macro_f1"]["value"]), abs=1e-6)
    assert confusion.f1 @ confusion.counts.sum(axis=1) / confusion.counts.sum() == pytest.approx(
        float(rows["weighted_f1"]["value"]), abs=1e-6
    )
    for name, count, recall in zip(confusion.names, confusion.counts.sum(axis=1), confusion.recall, strict=True):
        assert f"| {name} | {count} | {recall:.3f} |" in text


def test_published_figures_stand_beside_the_spread_of_ours(folder):
    recipe = load_recipe("bc_lstm/iemocap_bc_lstm_text")
    save_recipe(recipe, folder / "recipe.yaml")
    first = [row for row in read_results(folder / "results.csv") if row["fold"] == "test"]
    second = [{**row, "seed": 1, "value": float(row["value"]) + 0.02} for row in first]
    leaks = [{**row, "selected_on": "test (legacy, leaks)", "value": 0.99} for row in first]
    write_results(folder / SEEDS_FILE, [*first, *second, *leaks])
    text = render_card(folder, "org/demo", consent("mit", "mine", "iemocap"))
    assert (
        "| test | epoch chosen on validation, 2 seeds | epoch chosen on test (legacy, leaks), 1 seed | published |"
        in text
    )
    value = next(100 * float(row["value"]) for row in first if row["metric"] == "weighted_f1")
    assert f"| weighted F1 | {value + 1:.1f} ± 1.4 | 99.0 | {recipe.published['weighted_f1']:g} |" in text
    low, high = (
        100 * float(row["value"]) + 1 for row in first if row["metric"] in ("weighted_f1_high", "weighted_f1_low")
    )
    assert f"epoch not chosen on test: {min(low, high):.1f} to {max(low, high):.1f}." in text
    assert recipe.paper.title in text
    assert all(result.metric_value < 0.98 for result in ModelCard(text).data.eval_results)


def test_a_system_without_figures_says_so(folder):
    for name in ("results.csv", "confusion_matrix.json"):
        (folder / name).unlink()
    text = write_card(folder, "org/demo")
    assert "No test figures were recorded" in text
    assert "No figures of single classes" in text
    assert not (folder / ".eval_results").exists()
    assert ModelCard(text).data.eval_results is None


def test_a_folder_that_is_no_system_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"recipe\.yaml"):
        render_card(tmp_path, "org/demo")


def run_snippet(card):
    (code,) = re.findall(r"```python\n(.*?)```", card, flags=re.DOTALL)
    exec(compile(code, "card", "exec"), {})


def test_the_snippet_of_a_card_runs(folder, capsys):
    run_snippet(write_card(folder, str(folder)))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert set(lines) <= set(load_recipe(str(folder / "recipe.yaml")).label_names)


@pytest.mark.parametrize("model_type", [config.model_type for config, _ in MODELS])
def test_the_snippet_of_every_family_runs(model_type, tmp_path, capsys):
    folder = tiny_checkpoint(model_type, tmp_path / "model")
    save_recipe(load_recipe("demo/miniature_text_cnn"), folder / "recipe.yaml")
    run_snippet(render_card(folder, str(folder)))
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("angry" in line or line in ("happy", "neutral", "sad") for line in lines)


def test_every_corpus_of_the_package_has_its_terms():
    # What a user prepares from a table is known to the user alone.
    assert set(CORPUS_TERMS) == {*LABEL_SETS, *AFFECT_DIMENSIONS} - {"table"}


def test_an_unknown_corpus_needs_terms_all_the_same():
    with pytest.raises(RecipeError, match="nothing is known here of my_corpus"):
        consent("mit", None, "my_corpus")
    assert consent("mit", " all\n mine ", "my_corpus").corpus_terms == "all mine"


def test_the_template_is_in_the_package():
    root = Path(__file__).resolve().parents[2]
    data = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["mm_emotion"]
    assert TEMPLATE in {path for pattern in data for path in (root / "mm_emotion").glob(pattern)}


def test_parameters_are_those_of_the_weights(system):
    facts = System(system)
    assert facts.parameters == sum(tensor.numel() for tensor in facts.model.state_dict().values())
