"""Checked inputs of the metrics."""

import numpy as np

from mm_emotion.errors import BatchError
from mm_emotion.schema import IGNORE_INDEX


def class_inputs(
    predictions: np.ndarray, labels: np.ndarray, mask: np.ndarray | None, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Flat label ids that count: those under `mask` whose label is not IGNORE_INDEX, with their weights."""
    predictions, labels, mask, weight = _arrays(predictions, labels, mask, sample_weight)
    for name, array in (("predictions", predictions), ("labels", labels)):
        if array.dtype.kind not in "iub":
            raise BatchError(name, "integer label ids", f"{array.dtype} values")
    keep = mask & (labels != IGNORE_INDEX)
    predictions, labels, weight = _kept(keep, predictions, labels, weight)
    for name, array in (("predictions", predictions), ("labels", labels)):
        if array.min() < 0:
            raise BatchError(name, "label ids >= 0", int(array.min()))
    return predictions.astype(np.int64), labels.astype(np.int64), weight


def value_inputs(
    predictions: np.ndarray, labels: np.ndarray, mask: np.ndarray | None, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat float64 values that count: those under `mask` whose label is not NaN, with their weights (or ones)."""
    predictions, labels, mask, weight = _arrays(predictions, labels, mask, sample_weight)
    predictions, labels = predictions.astype(np.float64), labels.astype(np.float64)
    predictions, labels, weight = _kept(mask & ~np.isnan(labels), predictions, labels, weight)
    for name, array in (("predictions", predictions), ("labels", labels)):
        if not np.isfinite(array).all():
            raise BatchError(name, "finite values", f"{np.count_nonzero(~np.isfinite(array))} NaN or infinite")
    return predictions, labels, np.ones(len(labels)) if weight is None else weight


def _arrays(
    predictions: np.ndarray, labels: np.ndarray, mask: np.ndarray | None, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    mask = np.ones(labels.shape, dtype=bool) if mask is None else np.asarray(mask)
    if mask.dtype != bool:
        raise BatchError("mask", "bool, True = counts", f"{mask.dtype} values")
    weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    for name, array in (("predictions", predictions), ("mask", mask), ("sample_weight", weight)):
        if array is not None and array.shape != labels.shape:
            raise BatchError(name, f"the shape of labels, {labels.shape}", array.shape)
    return predictions, labels, mask, weight


def _kept(
    keep: np.ndarray, predictions: np.ndarray, labels: np.ndarray, weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    if not keep.any():
        raise BatchError("labels", "at least one value that counts", "none")
    if weight is not None:
        weight = weight[keep]
        if not (np.isfinite(weight).all() and weight.min() >= 0 and weight.sum() > 0):
            raise BatchError("sample_weight", "finite weights >= 0, not all 0", "others")
    return predictions[keep], labels[keep], weight
