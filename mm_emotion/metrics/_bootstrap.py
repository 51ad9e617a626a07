"""Bootstrap intervals over dialogues, the unit that is drawn with replacement."""

from collections.abc import Callable, Sequence

import numpy as np

from mm_emotion.errors import BatchError
from mm_emotion.metrics._classification import FROM_CONFUSION, confusion_matrix
from mm_emotion.schema import IGNORE_INDEX

Metric = Callable[..., float]
Interval = tuple[float, float]


def bootstrap_scores(
    metric: Metric,
    predictions: np.ndarray,
    labels: np.ndarray,
    groups: Sequence,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> np.ndarray:
    """`metric` on each draw of whole groups (dialogues) with replacement, (resamples,); NaN where it has no value.

    The draws depend on the number of groups and the seed alone, so that scores of several systems on the same rows are
    paired. Shapes and errors as in `bootstrap_interval`.
    """
    members = _members(groups, predictions, labels)
    return _scores(metric, predictions, labels, members, _draws(len(members), resamples, seed))


def bootstrap_interval(
    metric: Metric,
    predictions: np.ndarray,
    labels: np.ndarray,
    groups: Sequence,
    *,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Percentile interval of `metric(predictions, labels)` when whole groups (dialogues) are drawn with replacement.

    `predictions` and `labels` are (N,) or (N, ...), `groups` has N names. Draws where the metric is NaN are left out.
    Raises BatchError for other shapes, no group, fewer than one resample, or a confidence outside (0, 1).
    """
    drawn = bootstrap_scores(metric, predictions, labels, groups, resamples=resamples, seed=seed)
    return percentile_interval(drawn, confidence)


def paired_bootstrap(
    metric: Metric,
    a: np.ndarray,
    b: np.ndarray,
    labels: np.ndarray,
    groups: Sequence,
    *,
    resamples: int = 2000,
    seed: int = 0,
    confidence: float = 0.95,
) -> tuple[float, Interval]:
    """`metric` of predictions `a` minus that of `b`, with its interval when both are scored on the same drawn groups.

    Shapes and errors as in `bootstrap_interval`.
    """
    drawn = [bootstrap_scores(metric, each, labels, groups, resamples=resamples, seed=seed) for each in (a, b)]
    return float(metric(a, labels) - metric(b, labels)), percentile_interval(drawn[0] - drawn[1], confidence)


def _members(groups: Sequence, predictions: np.ndarray, labels: np.ndarray) -> list[np.ndarray]:
    """Indices of each group's values."""
    groups, shape = np.asarray(groups), np.shape(labels)
    if np.shape(predictions) != shape:
        raise BatchError("predictions", f"the shape of labels, {shape}", np.shape(predictions))
    if groups.ndim != 1 or not shape or len(groups) != shape[0]:
        raise BatchError("groups", f"one name a value, {shape[:1]}", groups.shape)
    if not len(groups):
        raise BatchError("groups", "at least one", "none")
    _, number = np.unique(groups, return_inverse=True)
    order = np.argsort(number, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(number[order])) + 1)


def _draws(groups: int, resamples: int, seed: int) -> np.ndarray:
    """How often each group is drawn, (resamples, groups)."""
    if resamples < 1:
        raise BatchError("resamples", "at least 1", resamples)
    return np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=resamples)


def _scores(
    metric: Metric, predictions: np.ndarray, labels: np.ndarray, members: list[np.ndarray], draws: np.ndarray
) -> np.ndarray:
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if metric in FROM_CONFUSION:
        return _confusion_scores(metric, predictions, labels, members, draws)
    scores = np.empty(len(draws))
    for number, times in enumerate(draws):
        chosen = np.concatenate([members[group] for group in np.repeat(np.arange(len(members)), times)])
        scores[number] = metric(predictions[chosen], labels[chosen])
    return scores


def _confusion_scores(
    metric: Metric, predictions: np.ndarray, labels: np.ndarray, members: list[np.ndarray], draws: np.ndarray
) -> np.ndarray:
    size = len(confusion_matrix(predictions, labels))
    counted = [group for group in members if (labels[group] != IGNORE_INDEX).any()]
    draws = draws[:, [(labels[group] != IGNORE_INDEX).any() for group in members]]
    confusions = np.stack([confusion_matrix(predictions[group], labels[group], size) for group in counted])
    drawn = (draws @ confusions.reshape(len(counted), -1)).reshape(-1, size, size)
    filled = drawn.any(axis=(1, 2))
    scores = np.full(len(draws), np.nan)
    scores[filled] = FROM_CONFUSION[metric](drawn[filled])
    return scores


def percentile_interval(scores: np.ndarray, confidence: float = 0.95) -> Interval:
    """Where the middle `confidence` of drawn scores (resamples,) lies; NaN does not count."""
    if not 0 < confidence < 1:
        raise BatchError("confidence", "a number between 0 and 1", confidence)
    scores = scores[~np.isnan(scores)]
    if not len(scores):
        return float("nan"), float("nan")
    low, high = np.quantile(scores, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
