"""Metrics of sentiment from -3 to 3, as papers on CMU-MOSI and CMU-MOSEI print them."""

from typing import Literal

import numpy as np

from mm_emotion.errors import BatchError
from mm_emotion.metrics._inputs import value_inputs
from mm_emotion.metrics._regression import STRONGEST, mean_absolute_error, pearson


def two_class_accuracy(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    *,
    zeros: Literal["positive", "left_out"] = "positive",
) -> float:
    """Share of values on the right side (Acc-2), in the two forms in print.

    With `zeros` positive the sides are negative and not negative; left out, they are negative and positive, over the
    labels other than 0 (NaN where there is none), and a prediction of 0 is negative. Inputs as in
    `mean_absolute_error`.
    """
    predictions, labels, weight = value_inputs(predictions, labels, mask, sample_weight)
    if zeros == "positive":
        return float(np.average((predictions >= 0) == (labels >= 0), weights=weight))
    if zeros != "left_out":
        raise BatchError("zeros", "positive or left_out", repr(zeros))
    weight = np.where(labels != 0, weight, 0)
    if not weight.any():
        return float("nan")
    return float(np.average((predictions > 0) == (labels > 0), weights=weight))


def seven_class_accuracy(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Share of equal grades -3..3 (Acc-7), values rounded (half to even) and clipped; inputs as in
    `mean_absolute_error`."""
    predictions, labels, weight = value_inputs(predictions, labels, mask, sample_weight)
    grades = (np.rint(values).clip(-STRONGEST, STRONGEST) for values in (predictions, labels))
    return float(np.average(np.equal(*grades), weights=weight))


def sentiment_scores(predictions: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Mean absolute error, Pearson correlation, Acc-2 in both forms and Acc-7 of (N,) values."""
    return {
        "mean_absolute_error": mean_absolute_error(predictions, labels),
        "pearson": pearson(predictions, labels),
        "two_class_accuracy": two_class_accuracy(predictions, labels),
        "two_class_accuracy_without_zeros": two_class_accuracy(predictions, labels, zeros="left_out"),
        "seven_class_accuracy": seven_class_accuracy(predictions, labels),
    }
