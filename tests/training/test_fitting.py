"""Systems without epochs of their own: late fusion of trained recipes, and linear models."""

import json

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import AutoModel, AutoProcessor

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.data.splits import resolve_split, take
from mm_emotion.errors import RecipeError
from mm_emotion.models import (
    BCLSTMConfig,
    BCLSTMForEmotionRecognition,
    LateFusionForEmotionRecognition,
    LinearConfig,
    LinearForEmotionRecognition,
)
from mm_emotion.training import fitting
from mm_emotion.training.evaluation import LEGACY, predict
from mm_emotion.training.features import add_features
from mm_emotion.training.recipe import parse_recipe
from mm_emotion.training.reproduction import open_corpus_of, run_seed
from mm_emotion.training.stages import all_stages, build_model

CORPUS = "corpus: {name: iemocap, labels: six_way, split: session5_test}\n"
TRAINING = "training: {epochs: 2, batch_size: 16, learning_rate: 1e-2, unit: utterance}\n"
WORDS = f"""{CORPUS}{TRAINING}
features: {{input_ids: {{}}}}
model:
  {{model_type: text_cnn, vocab_size: 20, embedding_size: 6, num_filters: 3, filter_widths: [1, 2], hidden_size: 5}}
"""
BOTH = f"""{CORPUS}{TRAINING}
encoders: {{text: {{recipe: WORDS}}}}
model: {{model_type: bc_lstm, modality_dims: {{text: 5, audio: 3}}, recurrent_size: 4, hidden_size: 4}}
"""
FUSION = f"""{CORPUS}
children: [WORDS, BOTH]
model: {{model_type: late_fusion, rule: weighted}}
training: {{unit: utterance, monitor: unweighted_accuracy}}
"""
LINEAR = f"""{CORPUS}
model: {{model_type: linear, estimator: logistic, modality_dims: {{text: 8}}, complexities: [0.001, 1.0]}}
training: {{unit: utterance, monitor: accuracy}}
"""
COLLATOR = EmotionCollator()
CHOSEN = ("unweighted_accuracy", "validation")


@pytest.fixture(scope="module")
def rows(request) -> Dataset:
    """The corpus with three audio values that say the label, and an utterance without sound."""
    corpus = request.getfixturevalue("corpus")
    labels = np.array(corpus["label"])
    audio = np.stack([labels % 2, labels // 2, labels * 0], 1) + np.random.default_rng(1).normal(size=(len(labels), 3))
    values = [None if index == 1 else row.tolist() for index, row in enumerate(audio)]
    return corpus.add_column("audio", values)


@pytest.fixture(scope="module")
def split(rows):
    return resolve_split(rows, "session5_test", validation_dialogues=3)


@pytest.fixture
def fusion(tmp_path):
    """Text of the late fusion recipe, whose children lie as files."""
    words, both = tmp_path / "words.yaml", tmp_path / "both.yaml"
    words.write_text(WORDS)
    both.write_text(BOTH.replace("WORDS", str(words)))
    return FUSION.replace("WORDS", str(words)).replace("BOTH", str(both))


def run(recipe, rows, split, tmp_path):
    return run_seed(recipe, rows, split, seed=0, out=tmp_path / "runs", progress_bar=False)


def test_children_are_trained_then_fused_into_one_checkpoint(fusion, rows, split, tmp_path):
    recipe = parse_recipe(fusion, "fusion")
    outcome = run(recipe, rows.remove_columns("text"), split, tmp_path)
    config = json.loads((outcome.model_folder / "config.json").read_text())
    assert [child["model_type"] for child in config["children"]] == ["text_cnn", "hierarchical"]
    assert sum(config["weights"]) == pytest.approx(1)
    model = AutoModel.from_pretrained(outcome.model_folder)
    assert model.input_shapes() == {"input_ids": (None,), "audio": (3,)}
    test_rows = add_features(take(rows, split, "test"), AutoProcessor.from_pretrained(outcome.model_folder))
    again = predict(model, DialogueDataset(test_rows, unit="utterance", columns=list(model.input_shapes())), COLLATOR)
    np.testing.assert_allclose(again.logits, outcome.predictions["test"].logits, atol=1e-5)
    assert {row["selected_on"] for row in outcome.rows} == {"validation"}
    first = (tmp_path / "runs/words/seed0/best_validation.safetensors").stat().st_mtime_ns
    run(recipe, rows.remove_columns("text"), split, tmp_path)
    assert (tmp_path / "runs/words/seed0/best_validation.safetensors").stat().st_mtime_ns == first


def test_the_fused_weights_are_the_best_of_the_grid_on_validation(fusion, rows, split, tmp_path):
    outcome = run(parse_recipe(fusion, "fusion"), rows.remove_columns("text"), split, tmp_path)
    best = np.mean([row["value"] for row in outcome.rows if (row["metric"], row["fold"]) == CHOSEN])
    for shares in ("[0, 1]", "[1, 0]", "[0.5, 0.5]", "[0.2, 0.8]"):
        given = parse_recipe(fusion, "given", [f"model.weights={shares}"])
        other = run(given, rows.remove_columns("text"), split, tmp_path)
        assert json.loads((other.model_folder / "config.json").read_text())["weights"] == json.loads(shares)
        value = np.mean([row["value"] for row in other.rows if (row["metric"], row["fold"]) == CHOSEN])
        assert value <= best + 1e-9


def test_the_prior_of_a_product_is_that_of_the_training_utterances(fusion, rows, split, tmp_path):
    product = fusion.replace("rule: weighted", "rule: product")
    recipe = parse_recipe(product, "fusion", ["training.class_prior=train"])
    outcome = run(recipe, rows.remove_columns("text"), split, tmp_path)
    counts = np.bincount(take(rows, split, "train")["label"], minlength=6)
    prior = json.loads((outcome.model_folder / "config.json").read_text())["class_prior"]
    np.testing.assert_allclose(prior, np.maximum(counts, 1) / np.maximum(counts, 1).sum())
    plain = run(parse_recipe(product, "plain"), rows.remove_columns("text"), split, tmp_path)
    said = outcome.predictions["test"].logits + np.log(prior)  # divided once, as there are two experts
    said -= np.log(np.exp(said).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(said, plain.predictions["test"].logits, atol=1e-5)


@pytest.mark.parametrize("changes", [["model.rule=average"], ["model.rule=product", "model.class_prior=[0.5, 0.5]"]])
def test_a_prior_belongs_to_a_product_and_is_given_once(fusion, changes):
    with pytest.raises(RecipeError) as error:
        parse_recipe(fusion, "fusion", [*changes, "training.class_prior=train"])
    assert error.value.field == "training.class_prior"


def test_weights_are_chosen_where_experts_disagree(rows, monkeypatch):
    """The first expert is wrong and sure, the second right: of the shares that are all right, 0.4 is the most even."""
    torch.manual_seed(0)
    experts = [
        BCLSTMForEmotionRecognition(BCLSTMConfig(modality_dims={name: width}, recurrent_size=2, num_labels=6)).eval()
        for name, width in (("text", 8), ("audio", 3))
    ]
    model = LateFusionForEmotionRecognition.from_children(experts, rule="weighted").eval()
    dataset = DialogueDataset(rows, unit="utterance", columns=["text", "audio"])
    right = torch.nn.functional.one_hot(torch.from_numpy(dataset.labels), 6).float()
    said = torch.stack([right.roll(1, 1) * 3, right * 2], 1).log_softmax(-1)  # (N, 2, 6)
    present = torch.ones(said.shape[:2], dtype=torch.bool)
    monkeypatch.setattr(fitting, "expert_outputs", lambda *_: (said, present))
    fitting.choose_weights(model, dataset, COLLATOR, "unweighted_accuracy")
    assert model.config.weights == [0.4, 0.6]


def test_a_grid_of_shares_is_whole_and_starts_even():
    for count, expected in ((1, 1), (2, 11), (3, 66)):
        grid = fitting.weight_grid(count, 10)
        assert len(grid) == len({tuple(shares) for shares in grid}) == expected
        assert all(sum(shares) == pytest.approx(1) and min(shares) >= 0 for shares in grid)
    assert fitting.weight_grid(2, 10)[0] == [0.5, 0.5]


def test_what_a_child_learned_on_the_test_part_marks_the_fusion(fusion, rows, split, tmp_path):
    words = tmp_path / "words.yaml"
    words.write_text(words.read_text() + "protocol: {select_on: test}\n")
    outcome = run(parse_recipe(fusion, "fusion"), rows.remove_columns("text"), split, tmp_path)
    assert {row["selected_on"] for row in outcome.rows} == {LEGACY}


def test_a_linear_recipe_is_fitted_and_saved(rows, split, tmp_path):
    outcome = run(parse_recipe(LINEAR, "linear", ["model.modality_dims={audio: 3}"]), rows, split, tmp_path)
    model = AutoModel.from_pretrained(outcome.model_folder)
    assert model.config.complexity in (0.001, 1.0)
    train = take(rows, split, "train")
    prediction = predict(model, DialogueDataset(train, unit="utterance", columns=["audio"]), COLLATOR)
    assert np.mean(prediction.classes == prediction.labels) > 0.3
    fold = {row["metric"]: row["value"] for row in outcome.rows if row["fold"] == "validation"}
    for complexity in (0.001, 1.0):
        one = parse_recipe(LINEAR, "one", ["model.modality_dims={audio: 3}", f"model.complexities=[{complexity}]"])
        alone = {r["metric"]: r["value"] for r in run(one, rows, split, tmp_path).rows if r["fold"] == "validation"}
        assert alone["accuracy"] <= fold["accuracy"]


def test_a_missing_modality_is_no_zero_to_a_linear_fit(rows):
    model = LinearForEmotionRecognition(LinearConfig(modality_dims={"audio": 3}, num_labels=6))
    dataset = DialogueDataset(rows, unit="utterance", columns=["audio"])
    fitting.choose_complexity(model, dataset, dataset, COLLATOR, "accuracy")
    known = np.array([row for row in rows["audio"] if row is not None])
    np.testing.assert_allclose(model.mean.numpy(), known.mean(0), atol=1e-5)
    np.testing.assert_allclose(model.scale.numpy(), known.std(0), atol=1e-5)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ("children=[]", "children"),
        ("training.epochs=3", "training.epochs"),
        ("training.patience=3", "training.patience"),
        ("protocol.record_test_selection=true", "protocol.record_test_selection"),
        ("encoders.text={recipe: x}", "encoders"),
        ("model.children=[]", "model.children"),
        ("model.model_type=bc_lstm", "children"),
    ],
)
def test_a_fusion_that_makes_no_sense_is_refused(fusion, change, field):
    with pytest.raises(RecipeError) as error:
        parse_recipe(fusion, "fusion", [change])
    assert error.value.field == field


@pytest.mark.parametrize("name", ["epochs", "batch_size", "learning_rate"])
def test_a_model_with_epochs_needs_their_settings(name):
    with pytest.raises(RecipeError) as error:
        parse_recipe(WORDS, "words", [f"training.{name}=null"])
    assert error.value.field == f"training.{name}"


def test_an_untrained_fusion_has_the_shape_of_the_trained_one(fusion):
    recipe = parse_recipe(fusion, "fusion")
    assert [stage.model["model_type"] for stage in all_stages(recipe)] == [
        "text_cnn",
        "text_cnn",
        "bc_lstm",
        "late_fusion",
    ]
    with torch.device("meta"):
        model = build_model(recipe)
    assert model.config.modality_dims == {"audio": 3}
    assert [type(expert).config_class.model_type for expert in model.experts] == ["text_cnn", "hierarchical"]


@pytest.mark.parametrize(("output", "made"), [("hidden_states", 5), ("log_probabilities", 6)])
def test_a_child_with_vectors_of_its_own_beside_an_encoder(fusion, tmp_path, output, made):
    both = tmp_path / "both.yaml"
    text = both.read_text().replace("encoders: {text: {", f"encoders: {{text: {{output: {output}, ")
    both.write_text(text.replace("text: 5", f"text: {made + 3}") + "features: {text: {}}\n")
    with torch.device("meta"):
        model = build_model(parse_recipe(fusion, "fusion"))
    assert model.config.modality_dims == {"text": 3, "audio": 3}


def test_a_corpus_is_opened_with_what_the_children_read(fusion, rows, tmp_path):
    recipe = parse_recipe(fusion, "fusion")
    rows.remove_columns(["text", "audio"]).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(Exception, match="no audio"):
        open_corpus_of(recipe, tmp_path)
