"""Configurations are strict data: what is wrong is refused, and the message names the field."""

import json

import pytest
from transformers import AutoConfig

from mm_emotion.errors import ConfigError
from mm_emotion.models import DialogueRNNConfig, TextCNNConfig


def build(**options):
    return DialogueRNNConfig(**{"modality_dims": {"text": 4}, "num_labels": 3, **options})


@pytest.mark.parametrize(
    ("options", "field", "hint"),
    [
        ({"hiden_size": 3}, "hiden_size", "hidden_size"),
        ({"bidirectionl": True}, "bidirectionl", "bidirectional"),
        ({"hidden_size": "3"}, "hidden_size", ""),
        ({"hidden_size": 3.0}, "hidden_size", ""),
        ({"hidden_size": True}, "hidden_size", ""),
        ({"hidden_size": 0}, "hidden_size", ""),
        ({"global_size": -1}, "global_size", ""),
        ({"dropout": False}, "dropout", ""),
        ({"dropout": 1.0}, "dropout", ""),
        ({"dropout": float("nan")}, "dropout", ""),
        ({"recurrent_dropout": -0.1}, "recurrent_dropout", ""),
        ({"bidirectional": 1}, "bidirectional", ""),
        ({"problem_type": "regresion"}, "problem_type", "regression"),
        ({"problem_type": "multi_label_classification"}, "problem_type", ""),
        ({"context_attention": "generall"}, "context_attention", "general"),
        ({"loss": "mse"}, "loss", ""),
        ({"loss": "ccc"}, "loss", ""),
        ({"problem_type": "regression", "loss": "cross_entropy"}, "loss", ""),
        ({"problem_type": "regression", "class_weights": [1.0, 1.0, 1.0]}, "class_weights", ""),
        ({"class_weights": [1.0, 2.0]}, "class_weights", ""),
        ({"class_weights": [1.0, 2.0, "3"]}, "class_weights", ""),
        ({"class_weights": [0, 0, 0]}, "class_weights", ""),
        ({"class_weights": [1.0, -1.0, 1.0]}, "class_weights", ""),
        ({"modality_dims": {"txt": 4}}, "modality_dims", "text"),
        ({"modality_dims": {"text": "4"}}, "modality_dims", ""),
        ({"modality_dims": {"text": 0}}, "modality_dims", ""),
        ({"modality_dims": {}}, "modality_dims", ""),
        ({"modality_dims": [4]}, "modality_dims", ""),
        ({"num_labels": "3"}, "num_labels", ""),
        ({"num_labels": 1}, "num_labels", ""),
        ({"id2label": {0: "a", 1: "b"}}, "num_labels", ""),
        ({"id2label": {0: "a", 2: "b", 3: "c"}}, "id2label", ""),
        ({"id2label": {0: "a", 1: "a", 2: "c"}}, "id2label", ""),
        ({"id2label": {0: "a", 1: "b", 2: "c"}, "label2id": {"a": 1, "b": 0, "c": 2}}, "label2id", ""),
        ({"model_type": "text_cnn"}, "model_type", ""),
    ],
)
def test_what_is_wrong_is_refused_by_name(options, field, hint):
    with pytest.raises(ConfigError) as error:
        build(**options)
    assert error.value.field.startswith(field)
    assert hint in error.value.hint


def test_a_field_is_checked_when_it_is_set_later():
    config = build()
    with pytest.raises(ConfigError, match="hidden_size"):
        config.hidden_size = "wide"


def test_integers_pass_where_floats_do():
    assert build(dropout=0, class_weights=[1, 2, 3]).dropout == 0


def test_modalities_keep_the_order_of_the_schema():
    config = build(modality_dims={"visual": 3, "audio": 2, "text": 4})
    assert config.modalities == ["text", "audio", "visual"]
    assert config.input_size == 9


def test_loss_follows_the_problem():
    assert build().loss == "cross_entropy"
    assert build(problem_type="regression").loss == "mse"
    assert build(problem_type="regression", loss="ccc").loss == "ccc"


def test_label_names_make_their_own_inverse():
    config = build(id2label={"0": "sad", "1": "glad", "2": "neutral"})
    assert config.num_labels == 3
    assert config.label2id == {"sad": 0, "glad": 1, "neutral": 2}


def test_what_transformers_writes_is_read_back(tmp_path):
    config = build(architectures=["DialogueRNNForEmotionRecognition"], dtype="float32")
    config.auto_map = {"AutoModel": "modeling.Model"}
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert again.auto_map == config.auto_map
    assert json.loads(again.to_json_string()) == json.loads(config.to_json_string())
    assert AutoConfig.for_model(**json.loads(config.to_json_string())).to_dict() == config.to_dict()


def test_sizes_that_are_generation_words_elsewhere_are_saved(tmp_path):
    TextCNNConfig(max_length=50, num_labels=3).save_pretrained(tmp_path)
    assert TextCNNConfig.from_pretrained(tmp_path).max_length == 50


def test_loading_with_other_labels_is_refused(tmp_path):
    build().save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="num_labels"):
        DialogueRNNConfig.from_pretrained(tmp_path, num_labels=4)
