import builtins

import numpy as np
import pytest
import torch

from mm_emotion.errors import ConfigError, FeatureError, MissingExtraError
from mm_emotion.models import LinearConfig, LinearForEmotionRecognition

WIDTHS = {"audio": 2, "text": 3}


def build(**options) -> LinearForEmotionRecognition:
    return LinearForEmotionRecognition(LinearConfig(**{"modality_dims": WIDTHS, "num_labels": 3, **options})).eval()


def data(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of unlike spread, text first, whose class is the largest of three values."""
    random = np.random.default_rng(0)
    vectors = random.normal(size=(count, 5)) * [1, 10, 0.1, 5, 1] + [0, 3, 1, -4, 2]
    scores = (vectors - [0, 3, 1, -4, 2]) / [1, 10, 0.1, 5, 1]
    return vectors.astype(np.float32), scores[:, :3].argmax(1)


def predict(model: LinearForEmotionRecognition, vectors: np.ndarray) -> np.ndarray:
    rows = torch.from_numpy(vectors)[:, None]
    return model(text=rows[..., :3], audio=rows[..., 3:]).logits[:, 0].detach().numpy()


def test_ridge_is_the_closed_form_on_standardised_vectors():
    vectors, _ = data()
    target = vectors @ np.array([1, 0.2, -3, 0, 1]) + 4
    model = build(problem_type="regression", num_labels=1).fit(vectors, target[:, None], complexity=2.0)
    z = (vectors - vectors.mean(0)) / vectors.std(0)
    centred = target - target.mean()
    weight = np.linalg.solve(z.T @ z + np.eye(5) / 4, z.T @ centred)  # alpha = 1 / (2 C)
    np.testing.assert_allclose(model.classifier.weight[0].detach(), weight, rtol=1e-4)
    np.testing.assert_allclose(predict(model, vectors)[:, 0], z @ weight + target.mean(), rtol=1e-3, atol=1e-3)
    assert model.config.complexity == 2.0


@pytest.mark.parametrize("estimator", ["ridge", "logistic", "svm"])
def test_classes_are_told_apart(estimator, tmp_path):
    vectors, labels = data(120)
    model = build(estimator=estimator).fit(vectors, labels, complexity=1.0)
    assert (predict(model, vectors).argmax(1) == labels).mean() > 0.8
    model.save_pretrained(tmp_path)
    loaded = LinearForEmotionRecognition.from_pretrained(tmp_path)
    np.testing.assert_array_equal(predict(loaded, vectors), predict(model, vectors))
    assert loaded.config.complexity == 1.0


def test_a_logistic_regression_ends_where_its_gradient_vanishes():
    vectors, labels = data(120)
    model = build(estimator="logistic").fit(vectors, labels, complexity=0.5)
    logits = torch.from_numpy(predict(model, vectors))
    weight = model.classifier.weight.detach()
    states = (torch.from_numpy(vectors) - model.mean) / model.scale
    pull = torch.nn.functional.one_hot(torch.from_numpy(labels), 3) - logits.softmax(-1)
    torch.testing.assert_close(weight / 0.5, pull.mT @ states, atol=0.02, rtol=0.02)


def test_a_support_vector_regression_forgives_epsilon():
    vectors, _ = data()
    target = (vectors @ np.array([1, 0.2, -3, 0, 1]) + 4)[:, None]
    model = build(estimator="svm", problem_type="regression", num_labels=1, epsilon=100.0)
    assert not model.fit(vectors, target, complexity=1.0).classifier.weight.any()
    model = build(estimator="svm", problem_type="regression", num_labels=1)
    model.fit(vectors, target, complexity=10.0)
    assert np.abs(predict(model, vectors) - target).mean() < 0.1


@pytest.mark.parametrize("estimator", ["ridge", "logistic", "svm"])
def test_two_classes_of_three(estimator):
    vectors, labels = data(120)
    labels = np.where(labels == 2, 2, 0)
    model = build(estimator=estimator).fit(vectors, labels, complexity=1.0)
    predicted = predict(model, vectors).argmax(1)
    assert set(predicted) == {0, 2}
    assert (predicted == labels).mean() > 0.7


def test_one_class_is_always_predicted():
    vectors, labels = data()
    model = build().fit(vectors, np.where(labels == 1, 1, -100), complexity=1.0)
    assert set(predict(model, vectors).argmax(1)) == {1}


def test_class_weights_favour_a_class():
    vectors, labels = data(120)
    plain = build(estimator="logistic").fit(vectors, labels, complexity=1.0)
    heavy = build(estimator="logistic", class_weights=[20.0, 1.0, 1.0]).fit(vectors, labels, complexity=1.0)
    counts = [(predict(model, vectors).argmax(1) == 0).sum() for model in (plain, heavy)]
    assert counts[1] > counts[0]


def test_rows_without_a_label_teach_nothing():
    vectors, _ = data()
    target = np.where(np.arange(60) < 40, vectors[:, 0], np.nan)[:, None]
    far = vectors.copy()
    far[40:] = 7.0
    model = build(problem_type="regression", num_labels=1, standardize=False)
    weight = model.fit(vectors, target, complexity=1e6).classifier.weight.clone()
    torch.testing.assert_close(model.fit(far, target, complexity=1e6).classifier.weight, weight)
    assert not model.mean.any()


@pytest.mark.parametrize(
    ("vectors", "labels", "field"),
    [
        (np.zeros((4, 4)), np.zeros(4, dtype=int), "vectors"),
        (np.zeros((4, 5)), np.full(4, -100), "labels"),
    ],
)
def test_what_cannot_be_fitted(vectors, labels, field):
    with pytest.raises(FeatureError) as error:
        build().fit(vectors, labels, 1.0)
    assert error.value.field == field


def test_the_extra_is_named_where_scikit_learn_is_missing(monkeypatch):
    real = builtins.__import__

    def without(name, *rest, **more):
        if name.startswith("sklearn"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match="baselines"):
        build().fit(*data(), 1.0)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"modality_dims": {}}, "modality_dims"),
        ({"estimator": "lasso"}, "estimator"),
        ({"modality_dropout": 0.1}, "modality_dropout"),
        ({"estimator": "logistic", "problem_type": "regression"}, "estimator"),
        ({"complexities": []}, "complexities"),
        ({"complexities": [0.0]}, "complexities"),
        ({"epsilon": -1.0}, "epsilon"),
    ],
)
def test_impossible_configurations(change, field):
    with pytest.raises(ConfigError) as error:
        LinearConfig(**{"modality_dims": WIDTHS, **change})
    assert error.value.field == field
