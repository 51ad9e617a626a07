"""Scores of predictions with several dimensions, with the constant 0 beside them, and of sentiment."""

import numpy as np
import pytest

from mm_emotion.errors import RecipeError
from mm_emotion.metrics import concordance_correlation
from mm_emotion.models.affect_dnn.configuration_affect_dnn import AffectDNNConfig
from mm_emotion.models.affect_dnn.modeling_affect_dnn import AffectDNNForEmotionRecognition
from mm_emotion.training.evaluation import Prediction, mean_loss, scores
from mm_emotion.training.recipe import parse_recipe

INTENSITIES = """
corpus: {name: cmu_mosei, labels: six_intensities, split: published}
model: {model_type: affect_dnn, num_labels: 6, modality_dims: {text: 3}, layers: {text: [2]}, hidden_size: 2, loss: mae}
training: {unit: utterance, epochs: 1, batch_size: 2, learning_rate: 0.1}
"""


def made_up(dimensions):
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, (30, dimensions)).astype(np.float32)
    labels[3] = np.nan
    return Prediction(
        random.normal(1, 1, labels.shape).astype(np.float32), np.zeros((30, 2)), labels, np.repeat(["a", "b", "c"], 10)
    )


def test_six_intensities_and_the_constant_0():
    recipe = parse_recipe(INTENSITIES, "six")
    assert recipe.is_regression and recipe.label_names[-1] == "surprise"
    found = scores(made_up(6), True, recipe.label_names)
    assert found["mean_absolute_error"] == pytest.approx(
        np.mean([found[f"mean_absolute_error_{name}"] for name in recipe.label_names])
    )
    assert found["binary_accuracy/all_zero"] < 0.4 and np.isnan(found["pearson/all_zero"])
    assert not any("anger" in name and "all_zero" in name for name in found)


def test_sentiment_has_its_own_metrics():
    prediction = made_up(1)
    assert "two_class_accuracy" in scores(prediction, True, ["sentiment"])
    assert "two_class_accuracy" not in scores(prediction, True, ["valence"])


def test_the_loss_of_a_part_by_recording_takes_recordings_apart():
    prediction = made_up(1)
    options = {"modality_dims": {"text": 3}, "layers": {"text": [2]}, "num_labels": 1}
    model = AffectDNNForEmotionRecognition(AffectDNNConfig(**options, loss="ccc_per_recording"))
    value = concordance_correlation(prediction.logits[:, 0], prediction.labels[:, 0], groups=prediction.dialogue_ids)
    assert mean_loss(prediction, model) == pytest.approx(1 - value, abs=1e-6)
    together = AffectDNNForEmotionRecognition(AffectDNNConfig(**options, loss="ccc"))
    assert mean_loss(prediction, together) != pytest.approx(1 - value, abs=1e-6)


def test_loss_by_recording_needs_whole_recordings():
    with pytest.raises(RecipeError, match=r"training\.unit"):
        parse_recipe(INTENSITIES.replace("loss: mae", "loss: ccc_per_recording"), "six")
