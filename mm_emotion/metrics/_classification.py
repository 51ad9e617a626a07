"""Metrics of label ids. Each is a function of the confusion matrix, so that a bootstrap can score many at once."""

from collections.abc import Callable

import numpy as np

from mm_emotion.errors import BatchError
from mm_emotion.metrics._inputs import class_inputs


def confusion_matrix(
    predictions: np.ndarray,
    labels: np.ndarray,
    num_classes: int | None = None,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Counts (K, K), or sums of weights, with true classes in rows and predicted ones in columns.

    Inputs are label ids of one shape; a label of -100 or a False in `mask` does not count. `num_classes` defaults to
    the largest id plus one. Raises BatchError for other shapes, ids that are no classes, or nothing to count.
    """
    predictions, labels, weight = class_inputs(predictions, labels, mask, sample_weight)
    largest = int(max(predictions.max(), labels.max()))
    size = largest + 1 if num_classes is None else num_classes
    if largest >= size:
        raise BatchError("label ids", f"0..{size - 1}", largest)
    counts = np.bincount(labels * size + predictions, weights=weight, minlength=size * size)
    return counts.reshape(size, size)


def accuracy(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Share of right labels (the "WA" of the IEMOCAP literature); inputs as in `confusion_matrix`."""
    return float(_accuracy(confusion_matrix(predictions, labels, None, mask, sample_weight)))


def unweighted_accuracy(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Mean recall over the classes that occur in `labels` (UA); inputs as in `confusion_matrix`."""
    return float(_unweighted_accuracy(confusion_matrix(predictions, labels, None, mask, sample_weight)))


def weighted_f1(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Mean F1 of the classes, weighted by how often each occurs in `labels`; inputs as in `confusion_matrix`."""
    return float(_weighted_f1(confusion_matrix(predictions, labels, None, mask, sample_weight)))


def macro_f1(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Mean F1 of the classes that occur in `labels` or `predictions`; inputs as in `confusion_matrix`."""
    return float(_macro_f1(confusion_matrix(predictions, labels, None, mask, sample_weight)))


def class_recall(
    predictions: np.ndarray,
    labels: np.ndarray,
    num_classes: int | None = None,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Recall of each class (K,), 0 for a class without labels; inputs as in `confusion_matrix`."""
    return _class_recall(confusion_matrix(predictions, labels, num_classes, mask, sample_weight))


def class_f1(
    predictions: np.ndarray,
    labels: np.ndarray,
    num_classes: int | None = None,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """F1 of each class (K,), 0 for a class that occurs nowhere; inputs as in `confusion_matrix`."""
    return _class_f1(confusion_matrix(predictions, labels, num_classes, mask, sample_weight))


# Below, `confusion` is (..., K, K): any number of matrices at once.


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    return np.divide(numerator, denominator, out=np.zeros(np.shape(numerator)), where=denominator > 0)


def _hits(confusion: np.ndarray) -> np.ndarray:
    return np.diagonal(confusion, axis1=-2, axis2=-1)


def _accuracy(confusion: np.ndarray) -> np.ndarray:
    return _hits(confusion).sum(axis=-1) / confusion.sum(axis=(-2, -1))


def _class_recall(confusion: np.ndarray) -> np.ndarray:
    return _ratio(_hits(confusion), confusion.sum(axis=-1))


def _class_f1(confusion: np.ndarray) -> np.ndarray:
    return _ratio(2 * _hits(confusion), confusion.sum(axis=-1) + confusion.sum(axis=-2))


def _unweighted_accuracy(confusion: np.ndarray) -> np.ndarray:
    occurs = confusion.sum(axis=-1) > 0
    return _class_recall(confusion).sum(axis=-1) / occurs.sum(axis=-1)


def _weighted_f1(confusion: np.ndarray) -> np.ndarray:
    support = confusion.sum(axis=-1)
    return (_class_f1(confusion) * support).sum(axis=-1) / support.sum(axis=-1)


def _macro_f1(confusion: np.ndarray) -> np.ndarray:
    occurs = confusion.sum(axis=-1) + confusion.sum(axis=-2) > 0
    return _class_f1(confusion).sum(axis=-1) / occurs.sum(axis=-1)


FROM_CONFUSION: dict[Callable, Callable[[np.ndarray], np.ndarray]] = {
    accuracy: _accuracy,
    unweighted_accuracy: _unweighted_accuracy,
    weighted_f1: _weighted_f1,
    macro_f1: _macro_f1,
}
"""Scalar metrics -> the same over confusion matrices (..., K, K)."""
