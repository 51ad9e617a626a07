"""Classification metrics against scikit-learn, and their edges."""

import numpy as np
import pytest
from sklearn import metrics as reference

from mm_emotion.errors import BatchError
from mm_emotion.metrics import (
    accuracy,
    class_f1,
    class_recall,
    confusion_matrix,
    macro_f1,
    unweighted_accuracy,
    weighted_f1,
)

SCALARS = (accuracy, unweighted_accuracy, weighted_f1, macro_f1)


def expected(predictions, labels, num_classes, weight) -> list:
    """The same seven metrics by scikit-learn, which takes the labels first."""
    given = {"sample_weight": weight}
    classes = list(range(num_classes))
    recall = reference.recall_score(labels, predictions, labels=classes, average=None, zero_division=0, **given)
    return [
        reference.accuracy_score(labels, predictions, **given),
        np.mean([recall[k] for k in np.unique(labels)]),
        reference.f1_score(labels, predictions, average="weighted", zero_division=0, **given),
        reference.f1_score(labels, predictions, average="macro", zero_division=0, **given),
        recall,
        reference.f1_score(labels, predictions, labels=classes, average=None, zero_division=0, **given),
        reference.confusion_matrix(labels, predictions, labels=classes, **given),
    ]


@pytest.mark.parametrize("seed", range(150))
def test_random_cases_agree_with_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    num_classes, n = int(rng.integers(2, 8)), int(rng.integers(1, 60))
    labels, predictions = rng.integers(num_classes, size=(2, n))
    predictions = np.where(rng.random(n) < rng.random(), labels, predictions)
    weight = rng.random(n) + 0.1 if seed % 2 else None
    values = [metric(predictions, labels, sample_weight=weight) for metric in SCALARS]
    values += [
        metric(predictions, labels, num_classes, sample_weight=weight)
        for metric in (class_recall, class_f1, confusion_matrix)
    ]
    for value, wanted in zip(values, expected(predictions, labels, num_classes, weight), strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-12)


def test_what_does_not_count_changes_nothing():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(6, size=(2, 4, 5))
    mask = rng.random((4, 5)) < 0.5
    ignored = np.where(mask, labels, -100)
    for metric in (*SCALARS, class_recall, class_f1, confusion_matrix):
        wanted = metric(predictions[mask], labels[mask])
        np.testing.assert_array_equal(metric(predictions, labels, mask=mask), wanted)
        np.testing.assert_array_equal(metric(predictions, ignored), wanted)
        np.testing.assert_allclose(metric(predictions, labels, sample_weight=mask.astype(float)), wanted)


def test_a_constant_classifier():
    # with share p of the predicted class: weighted F1 is 2 p^2 / (1 + p)
    labels = np.array([0] * 25 + [1] * 35 + [2] * 40)
    predictions = np.zeros(100, dtype=int)
    assert accuracy(predictions, labels) == 0.25
    assert unweighted_accuracy(predictions, labels) == pytest.approx(1 / 3)
    assert weighted_f1(predictions, labels) == pytest.approx(2 * 0.25**2 / 1.25)
    assert class_recall(predictions, labels).tolist() == [1, 0, 0]


def test_classes_that_never_occur():
    predictions, labels = np.array([0, 3]), np.array([0, 0])
    assert class_recall(predictions, labels, 5).tolist() == [0.5, 0, 0, 0, 0]
    assert class_f1(predictions, labels, 5).tolist() == pytest.approx([2 / 3, 0, 0, 0, 0])
    assert unweighted_accuracy(predictions, labels) == 0.5
    assert macro_f1(predictions, labels) == pytest.approx(1 / 3)  # classes 0 and 3
    assert confusion_matrix(predictions, labels).shape == (4, 4)


def test_rows_are_true_classes():
    assert confusion_matrix([1, 1, 0], [0, 0, 1]).tolist() == [[0, 2], [1, 0]]
    assert confusion_matrix([1], [0], sample_weight=[0.5]).tolist() == [[0, 0.5], [0, 0]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [0]), r"predictions: expected the shape of labels, \(1,\), got \(2,\)"),
        ((np.zeros(0, int), np.zeros(0, int)), "labels: expected at least one value that counts"),
        (([0], [-100]), "at least one value that counts"),
        (([0, 1], [0, 1], None, [False, False]), "at least one value that counts"),
        (([0.5, 1.0], [0, 1]), "predictions: expected integer label ids"),
        (([0, 1], [0.0, np.nan]), "labels: expected integer label ids"),
        (([-1], [0]), "predictions: expected label ids >= 0, got -1"),
        (([0], [-1]), "labels: expected label ids >= 0, got -1"),
        (([3], [0], 3), "0..2, got 3"),
        (([0], [0], None, [1]), "mask: expected bool"),
        (([0], [0], None, [True, True]), "mask: expected the shape"),
        (([0], [0], None, None, [[1.0]]), "sample_weight: expected the shape"),
        (([0, 0], [0, 0], None, None, [1.0, -1.0]), "sample_weight: expected finite weights"),
        (([0], [0], None, None, [0.0]), "sample_weight"),
        (([0], [0], None, None, [np.nan]), "sample_weight"),
    ],
)
def test_bad_inputs_are_refused(arguments, message):
    with pytest.raises(BatchError, match=message):
        confusion_matrix(*arguments)
