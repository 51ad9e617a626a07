"""How far the probabilities of classes can be trusted, and the temperature that mends them.

C. Guo et al., "On calibration of modern neural networks", 2017.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from mm_emotion.errors import BatchError

BINS = 15

_LOG_TEMPERATURES = (np.log(0.05), np.log(20.0))


def reliability(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> list[tuple[float, float, int]]:
    """(mean confidence, accuracy, count) of each of `bins` equal bins of confidence that holds any utterance.

    `logits` (N, K), `labels` (N,). Errors: BatchError for other shapes, none at all, or values that are not finite.
    """
    logits, labels = _checked(logits, labels)
    probabilities = softmax(logits, axis=1)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    places = np.minimum((confidence * bins).astype(int), bins - 1)
    return [
        (float(confidence[places == place].mean()), float(right[places == place].mean()), int((places == place).sum()))
        for place in np.unique(places)
    ]


def expected_calibration_error(logits: np.ndarray, labels: np.ndarray, bins: int = BINS) -> float:
    """Mean distance between confidence and accuracy over utterances, by bins as in `reliability`; 0 is perfect."""
    found = reliability(logits, labels, bins)
    return sum(count * abs(confidence - accuracy) for confidence, accuracy, count in found) / len(labels)


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature in [0.05, 20] that logits (N, K) are to be divided by for the least cross-entropy on labels (N,).

    Fit it on validation utterances. Errors: as `reliability`.
    """
    logits, labels = _checked(logits, labels)
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return -log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels].mean()

    return float(np.exp(minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded").x))


def _checked(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise BatchError("logits and labels", "(N, K) and (N,), N at least 1", f"{logits.shape} and {labels.shape}")
    if not np.isfinite(logits).all():
        raise BatchError("logits", "finite values", "NaN or infinite values")
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise BatchError("labels", f"integers in 0..{logits.shape[1] - 1}", labels.dtype)
    return logits, labels
