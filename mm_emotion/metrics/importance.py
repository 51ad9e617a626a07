"""Late fusion of numbers by linear regression, and how much each modality weighs in it (E.5)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mm_emotion.errors import BatchError


@dataclass(frozen=True)
class LinearFusion:
    """`coefficients` (M,), one for each output that is fused, and an intercept."""

    coefficients: np.ndarray
    intercept: float

    def __call__(self, outputs: np.ndarray) -> np.ndarray:
        """The fused (N,) of outputs (N, M)."""
        return np.asarray(outputs) @ self.coefficients + self.intercept

    @property
    def shares(self) -> np.ndarray:
        """Relative importance (M,): each coefficient over the sum of their sizes, with its sign; 0 where all are 0."""
        total = np.abs(self.coefficients).sum()
        return self.coefficients / total if total else np.zeros_like(self.coefficients)


def fit_linear_fusion(outputs: np.ndarray, labels: np.ndarray) -> LinearFusion:
    """Least squares, with an intercept, of labels (N,) on outputs (N, M); NaN labels do not count.

    Of several solutions it is the one of least norm.

    Raises:
        BatchError: shapes that do not fit, outputs that are not finite, or fewer than two labels.
    """
    outputs, labels = np.asarray(outputs, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if outputs.ndim != 2 or labels.shape != outputs.shape[:1]:
        raise BatchError("labels", f"one for each row of outputs, {outputs.shape[:1]}", labels.shape)
    known = ~np.isnan(labels)
    outputs, labels = outputs[known], labels[known]
    if len(labels) < 2:
        raise BatchError("labels", "at least two values", len(labels))
    if not np.isfinite(outputs).all():
        raise BatchError("outputs", "finite values", "others")
    centre, mean = outputs.mean(axis=0), labels.mean()
    coefficients = np.linalg.lstsq(outputs - centre, labels - mean, rcond=None)[0]
    return LinearFusion(coefficients, float(mean - centre @ coefficients))


def leave_one_recording_out(outputs: np.ndarray, labels: np.ndarray, recordings: Sequence) -> np.ndarray:
    """The fused (N,) of each recording by a fusion fitted on the others; errors as in `fit_linear_fusion`."""
    outputs, names = np.asarray(outputs), np.asarray(recordings, dtype=object)
    if len(set(names.tolist())) < 2:
        raise BatchError("recordings", "at least two", len(set(names.tolist())))
    fused = np.empty(len(outputs))
    for name in dict.fromkeys(names.tolist()):
        own = names == name
        fused[own] = fit_linear_fusion(outputs[~own], np.asarray(labels)[~own])(outputs[own])
    return fused
