"""Metrics of continuous affect and of graded emotion intensity. Arrays are flattened: score one dimension at a time."""

from collections.abc import Callable, Sequence

import numpy as np

from mm_emotion.errors import BatchError
from mm_emotion.metrics._classification import unweighted_accuracy
from mm_emotion.metrics._inputs import value_inputs

STRONGEST = 3  # CMU-MOSEI grades an emotion from 0 (absent) to 3


def mean_absolute_error(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Mean absolute error; a NaN label or a False in `mask` does not count.

    Raises BatchError for arrays of different shapes, values that are not finite, or nothing to count.
    """
    predictions, labels, weight = value_inputs(predictions, labels, mask, sample_weight)
    return float(np.average(np.abs(predictions - labels), weights=weight))


def pearson(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Pearson correlation, NaN where either side is constant; inputs as in `mean_absolute_error`."""
    predictions, labels, weight = value_inputs(predictions, labels, mask, sample_weight)
    if _constant(predictions, weight) or _constant(labels, weight):
        return float("nan")
    _, covariance, variance, label_variance = _moments(predictions, labels, weight)
    return float(np.clip(covariance / np.sqrt(variance * label_variance), -1, 1))


def concordance_correlation(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    groups: Sequence | None = None,
    *,
    avec2018: bool = False,
) -> float:
    """Concordance correlation coefficient, 2 s_xy / (s_x^2 + s_y^2 + (mean_x - mean_y)^2), over all values together.

    A constant side gives 0, two constant sides NaN. With `groups`, one recording name a value, it is the mean over
    the recordings where it is defined. `avec2018` mixes population covariance with sample variances, as the public
    scorer of that challenge does; weights then count as repetitions. Other inputs as in `mean_absolute_error`.
    """
    if groups is None:
        return _concordance(*value_inputs(predictions, labels, mask, sample_weight), avec2018)
    groups = np.asarray(groups)
    labels = np.asarray(labels, dtype=np.float64)
    if groups.shape != labels.shape:
        raise BatchError("groups", f"the shape of labels, {labels.shape}", groups.shape)
    counts = ~np.isnan(labels) if mask is None else np.asarray(mask) & ~np.isnan(labels)
    values = [
        _concordance(*value_inputs(predictions, labels, counts & (groups == group), sample_weight), avec2018)
        for group in np.unique(groups[counts])
    ]
    defined = [value for value in values if not np.isnan(value)]
    return float(np.mean(defined)) if defined else float("nan")


def binary_accuracy(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Share of values on the right side of absent / present: present rounds (half to even) to another number than 0."""
    predictions, labels, weight = value_inputs(predictions, labels, mask, sample_weight)
    return float(np.average(_present(predictions) == _present(labels), weights=weight))


def four_class_accuracy(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Share of equal grades 0..3, values rounded (half to even) and clipped; inputs as in `mean_absolute_error`."""
    predictions, labels, weight = value_inputs(predictions, labels, mask, sample_weight)
    equal = np.rint(predictions).clip(0, STRONGEST) == np.rint(labels).clip(0, STRONGEST)
    return float(np.average(equal, weights=weight))


def balanced_binary_accuracy(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Mean of the recalls of absent and present (the "weighted accuracy" of CMU-MOSEI papers), as in `binary_accuracy`.

    Where all labels are on one side it is the recall of that side.
    """
    predictions, labels, weight = value_inputs(predictions, labels, mask, sample_weight)
    return unweighted_accuracy(_present(predictions), _present(labels), sample_weight=weight)


def per_dimension(
    metric: Callable[..., float], predictions: np.ndarray, labels: np.ndarray, mask: np.ndarray | None = None
) -> np.ndarray:
    """`metric` of each of the K columns of (..., K) arrays, (K,); `mask` has their leading shape."""
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or labels.ndim < 2:
        raise BatchError("predictions", f"the shape (..., K) of labels, {labels.shape}", predictions.shape)
    return np.array([metric(predictions[..., k], labels[..., k], mask) for k in range(labels.shape[-1])])


def _present(values: np.ndarray) -> np.ndarray:
    return np.rint(values) != 0


def _constant(values: np.ndarray, weight: np.ndarray) -> bool:
    return np.ptp(values[weight > 0]) == 0  # exact, as the variance of equal numbers need not come out as 0


def _moments(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float, float, float]:
    """Difference of the means, and population covariance and variances."""
    mean_x, mean_y = np.average(x, weights=weight), np.average(y, weights=weight)
    x, y = x - mean_x, y - mean_y
    products = (np.average(a * b, weights=weight) for a, b in ((x, y), (x, x), (y, y)))
    return mean_x - mean_y, *products


def _concordance(predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray, avec2018: bool) -> float:
    constant = _constant(predictions, weight), _constant(labels, weight)
    if any(constant):
        return float("nan") if all(constant) else 0.0
    difference, covariance, variance, label_variance = _moments(predictions, labels, weight)
    n = weight.sum()
    if avec2018 and n <= 1:
        raise BatchError("sample_weight", "repetitions, more than 1 in all, for avec2018", n)
    correction = n / (n - 1) if avec2018 else 1.0
    return float(2 * covariance / ((variance + label_variance) * correction + difference**2))
