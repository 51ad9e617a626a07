"""Reference checkpoints: the names, the rule of the seed, and the one command that leaves a folder ready to push."""

import pytest

from mm_emotion.__main__ import main
from mm_emotion.errors import RecipeError
from mm_emotion.hub.push import plan_system
from mm_emotion.hub.reference import REFERENCES, published_seed, recipe_named
from mm_emotion.hub.system import SEEDS_FILE
from mm_emotion.pipeline import load_system
from mm_emotion.training.evaluation import read_results
from mm_emotion.training.recipe import load_recipe


@pytest.mark.parametrize("name", REFERENCES)
def test_every_name_stands_for_a_recipe(name):
    assert load_recipe(recipe_named(name)).name == REFERENCES[name]


def rows(*values, metric="weighted_f1", fold="validation"):
    return [{"fold": fold, "metric": metric, "seed": seed, "value": value} for seed, value in enumerate(values)]


@pytest.mark.parametrize(("values", "seed"), [((0.5,), 0), ((0.3, 0.9, 0.6), 2), ((0.9, 0.1, 0.2, 0.3), 2)])
def test_the_median_of_validation_is_published(values, seed):
    other = rows(*[-value for value in values], fold="test") + rows(*reversed(values), metric="accuracy")
    assert published_seed(other + rows(*values)) == seed


def test_without_a_validation_score_there_is_no_rule():
    with pytest.raises(RecipeError, match="weighted_f1 or mean_absolute_error"):
        published_seed(rows(0.4, fold="test"))


def test_one_command_leaves_a_checkpoint_ready_to_push(prepared, tmp_path, capsys):
    tiny = ["training.epochs=1", "model.hidden_size=8", "model.global_size=8", "model.emotion_size=8"]
    words = ["reproduce", "--checkpoint", "miniature-dialogue", *tiny, "--seeds", "0", "1", "--quiet"]
    assert main([*words, "--data", str(prepared), "--out", str(tmp_path)]) == 0
    folder = tmp_path / "miniature-dialogue"
    assert capsys.readouterr().out.endswith(f"checkpoint {folder}\n")
    assert {row["seed"] for row in read_results(folder / SEEDS_FILE)} == {"0", "1"}
    (seed,) = {row["seed"] for row in read_results(folder / "results.csv")}
    assert seed == str(published_seed(read_results(folder / SEEDS_FILE)))
    card = (folder / "README.md").read_text()
    assert "epoch chosen on validation, 2 seeds" in card
    assert "±" in card
    assert {"README.md", SEEDS_FILE, "model.safetensors"} <= set(plan_system(folder, "org/miniature").files)
    load_system(folder)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--checkpoint", "iemocap-jont"], "did you mean 'iemocap-joint'"),
        (["demo/miniature_sound", "--checkpoint", "iemocap-joint"], "none beside --checkpoint"),
        (["demo/miniature_sound"], "a recipe with --results, or --checkpoint"),
        ([], "a recipe with --results, or --checkpoint"),
    ],
)
def test_half_a_question_is_refused(words, message, capsys):
    assert main(["reproduce", *words]) == 2
    assert message in capsys.readouterr().err
