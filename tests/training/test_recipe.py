"""Recipes parse strictly, and every recipe of the package builds its model."""

import json
from dataclasses import replace

import pytest
import torch
import yaml

from mm_emotion.errors import EmotionError, RecipeError
from mm_emotion.training.recipe import RECIPES_FOLDER, list_recipes, load_recipe, parse_recipe, save_recipe
from mm_emotion.training.stages import build_model

TEXT = """
corpus: {name: iemocap, labels: six_way, split: session5_test}
model: {model_type: bc_lstm, modality_dims: {text: 4}}
training: {epochs: 2, batch_size: 3, learning_rate: 1e-4}
"""


@pytest.mark.parametrize("written", ["1e-4", "1.0e-4", "0.0001", "+1.E-4"])
def test_a_float_may_be_written_in_any_usual_way(written):
    assert parse_recipe(TEXT.replace("1e-4", written), "x").training.learning_rate == 1e-4


def test_overrides_go_through_the_same_checker():
    recipe = parse_recipe(TEXT, "x", ["training.epochs=7", "model.use_attention=true", "protocol.seeds=[3]"])
    assert (recipe.training.epochs, recipe.model["use_attention"], recipe.protocol.seeds) == (7, True, [3])


def test_published_figures_are_read_on_the_scale_of_the_metrics():
    classes = load_recipe("dialogue_rnn/iemocap_bidialogue_rnn_att_text")
    assert classes.published_value("weighted_f1") == pytest.approx(0.6275)
    assert classes.published_value("macro_f1") is None
    affect = load_recipe("dialogue_rnn/semaine_valence", ["published={mean_absolute_error: 0.2}"])
    assert affect.published_value("mean_absolute_error") == 0.2


@pytest.mark.parametrize(
    ("override", "field", "hint"),
    [
        ("training.learning_rat=1", "training.learning_rat", "learning_rate"),
        ("trainin.epochs=1", "trainin", "training"),
        ("training.epochs=1.5", "training.epochs", ""),
        ("training.epochs=true", "training.epochs", ""),
        ("training.epochs=0", "training.epochs", ""),
        ("training.optimizer=adm", "training.optimizer", "adam"),
        ("training.class_weights=[1, 2]", "training.class_weights", ""),
        ("corpus.name=iemocapp", "corpus.name", "iemocap"),
        ("corpus.labels=six_wy", "corpus.labels", "six_way"),
        ("model.num_labels=4", "model.num_labels", ""),
        ("protocol.seeds=[]", "protocol.seeds", ""),
        ("protocol.select_on=tset", "protocol.select_on", "test"),
        ("training.epochs.deep=1", "override", ""),
        ("training.epochs", "override", ""),
        ("training.epochs=[1", "override", ""),
        ("training.learning_rate=.nan", "training.learning_rate", ""),
        ("training.learning_rate=.inf", "training.learning_rate", ""),
        ("training.weight_decay=-1", "training.weight_decay", ""),
        ("training.weight_decay=.nan", "training.weight_decay", ""),
        ("training.patience=0", "training.patience", ""),
        ("training.patience=-1", "training.patience", ""),
        ("training.gradient_clip=0", "training.gradient_clip", ""),
        ("training.gradient_clip=-1.5", "training.gradient_clip", ""),
        ("training.crop=0", "training.crop", ""),
        ("training.crop=1", "training.crop", ""),
        ("training.crop=.nan", "training.crop", ""),
        ("training.average_decay=1", "training.average_decay", ""),
        ("training.optimizer_options={esp: 1e-7}", "training.optimizer_options.esp", "eps"),
        ("training.optimizer_options={momentum: 0.9}", "training.optimizer_options.momentum", ""),
        ("training.optimizer_options={eps: -1}", "training.optimizer_options.eps", ""),
        ("training.optimizer_options={eps: small}", "training.optimizer_options.eps", ""),
        ("corpus.scenario=improvise", "corpus.scenario", "improvised"),
        ("training.monitor=mean_absolute_error", "training.monitor", ""),
        ("training.class_weights=[1, 1, 1, 1, 1, -1]", "training.class_weights", ""),
        ("training.class_weights=[1, 1, 1, 1, 1, .nan]", "training.class_weights", ""),
        ("training.class_weights=[0, 0, 0, 0, 0, 0]", "training.class_weights", ""),
        ("encoders.text={recipe: x, folds: 1}", "encoders.text.folds", ""),
        ("encoders.txt={recipe: x}", "encoders.txt", "text"),
        ("model.modality_dims=5", "model.modality_dims", ""),
        ("model.modality_dims=[text]", "model.modality_dims", ""),
        ("model.modality_dims={txt: 4}", "model.modality_dims", "text"),
        ("model.model_type=[a]", "model.model_type", ""),
        ("model.model_type=5", "model.model_type", ""),
        ("model.model_type=", "model.model_type", ""),
        ("protocol.seeds=[0, -1]", "protocol.seeds", ""),
        ("protocol.seeds=[4294967296]", "protocol.seeds", ""),
    ],
)
def test_a_wrong_field_is_named_with_the_nearest_right_one(override, field, hint):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(TEXT, "x", [override])
    assert field in str(caught.value.field)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("override", "field"),
    [
        ("training.monitor=accuracy", "training.monitor"),
        ("training.class_weights=inverse_frequency", "training.class_weights"),
        ("training.class_weights=[1]", "training.class_weights"),
    ],
)
def test_what_is_for_classes_is_refused_for_an_affect_dimension(override, field):
    affect = ["corpus.labels=valence"]
    assert parse_recipe(TEXT, "x", [*affect, "training.monitor=mean_absolute_error"]).is_regression
    with pytest.raises(RecipeError) as caught:
        parse_recipe(TEXT, "x", [*affect, override])
    assert caught.value.field == field


@pytest.mark.parametrize("name", ["my recipe", "paper/row_1", "2019/a-b.c", "émotion"])
def test_a_name_is_a_folder_below_the_runs(name):
    assert parse_recipe(TEXT, name).name == name


@pytest.mark.parametrize("name", ["../x", "a/../b", "/etc/x", "a//b", "", ".", ".hidden", "a\\b", "a/", "C:x", "a\0"])
def test_a_name_that_leads_elsewhere_is_refused(name):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(TEXT, "x", [f"name={json.dumps(name)}"])
    assert caught.value.field == "name"


def test_a_recipe_that_is_not_utf_8_is_named(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(TEXT.encode() + b"note: caf\xe9\n")
    with pytest.raises(RecipeError, match=r"recipe\.yaml.*UTF-8"):
        load_recipe(str(path))


@pytest.mark.parametrize("text", ["[1, 2]", "corpus: {", TEXT + "training: {}\n", "model: {}\ntraining: {}\n"])
def test_text_that_is_no_recipe_is_refused(text):
    with pytest.raises(RecipeError):
        parse_recipe(text, "x")


def test_the_name_of_a_changed_recipe_says_the_change_and_seeds_are_none():
    name = "bc_lstm/iemocap_bc_lstm_text"
    changed = load_recipe(name, ["training.learning_rate=1e-3", "corpus.split=session5_test_validation_sessions"])
    assert changed.name == f"{name} corpus.split=session5_test_validation_sessions training.learning_rate=0.001"
    assert load_recipe(name, ["training.epochs=3", "protocol.seeds=[7]"]).name == f"{name} training.epochs=3"
    assert load_recipe(name, ["protocol.seeds=[7]"]).name == name
    assert load_recipe(name, [f"training.epochs={load_recipe(name).training.epochs}"]).name == name


def test_an_unknown_recipe_names_its_neighbour():
    with pytest.raises(RecipeError, match="did you mean 'bc_lstm/iemocap_bc_lstm_text'"):
        load_recipe("bc_lstm/iemocap_bc_lstm_txt")


def test_a_saved_recipe_loads_equal(tmp_path):
    recipe = parse_recipe(TEXT, "paper/row", ["training.class_weights=inverse_frequency"])
    save_recipe(recipe, tmp_path / "recipe.yaml", {"versions": "torch=0", "notes": ["a: b"]})
    assert load_recipe(str(tmp_path / "recipe.yaml")) == recipe


@pytest.mark.parametrize("name", list_recipes())
def test_every_recipe_of_the_package_loads_builds_and_says_how_to_run(name):
    recipe = load_recipe(name)
    with torch.device("meta"):
        model = build_model(recipe)
    assert model.config.num_labels == len(recipe.label_names)
    assert recipe.name == name
    first = (RECIPES_FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first == f"# accelerate launch train.py {name}"
    for encoder in recipe.encoders.values():
        first_stage = load_recipe(encoder.recipe)
        assert replace(first_stage.corpus, labels=recipe.corpus.labels) == recipe.corpus
        assert len(first_stage.label_names) == len(recipe.label_names)


def test_no_recipe_hides_code_in_its_text():
    for name in list_recipes():
        data = yaml.safe_load((RECIPES_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
        assert set(data) <= {
            "paper",
            "corpus",
            "features",
            "encoders",
            "children",
            "pretrained",
            "frames",
            "model",
            "training",
            "protocol",
            "published",
            "note",
        }


def test_wrong_model_fields_are_typed_errors():
    with pytest.raises(EmotionError, match="hidden_siz"):
        build_model(parse_recipe(TEXT, "x", ["model.hidden_siz=3"]))
    with pytest.raises(RecipeError, match="model_type"):
        build_model(parse_recipe(TEXT, "x", ["model.model_type=bc_lstmm"]))


def test_a_scenario_is_a_part_of_iemocap_alone():
    with pytest.raises(RecipeError) as caught:
        parse_recipe(TEXT, "x", ["corpus.name=meld", "corpus.labels=seven_way", "corpus.scenario=improvised"])
    assert caught.value.field == "corpus.scenario"
