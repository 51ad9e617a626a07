"""Scores of several graded emotions at once, the predictors that any model must beat, and which emotions go together.

Plain accuracies say little where nearly every emotion is absent: a constant 0 earns more than 90 % on most emotions of
CMU-MOSEI. So `intensity_scores` has the F1 and the average precision of presence beside them, and `all_zero` and three
random predictors are judged by the same function (Williams et al., 2018).
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mm_emotion.errors import BatchError
from mm_emotion.metrics._inputs import value_inputs
from mm_emotion.metrics._regression import (
    STRONGEST,
    binary_accuracy,
    four_class_accuracy,
    mean_absolute_error,
    pearson,
)

GRADES = np.arange(1, 3 * STRONGEST + 1) / 3
"""The nine intensities of an emotion that is there, 1/3 to 3."""


def presence_f1(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """F1 of presence, which is a value that rounds (half to even) to another number than 0; NaN where there is none.

    Inputs as in `mean_absolute_error`.
    """
    predictions, labels, weight = value_inputs(predictions, labels, mask, sample_weight)
    predicted, present = np.rint(predictions) != 0, np.rint(labels) != 0
    total = weight[predicted].sum() + weight[present].sum()
    return float(2 * weight[predicted & present].sum() / total) if total else float("nan")


def average_precision(
    predictions: np.ndarray,
    labels: np.ndarray,
    mask: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
) -> float:
    """Precision at each present value when values are ranked by prediction, averaged; equal ones share a rank.

    NaN where no label is present. Inputs as in `mean_absolute_error`.
    """
    predictions, labels, weight = value_inputs(predictions, labels, mask, sample_weight)
    order = np.argsort(-predictions, kind="stable")
    present = np.where(np.rint(labels[order]) != 0, weight[order], 0.0)
    ends = np.flatnonzero(np.append(np.diff(predictions[order]) != 0, True))  # of each rank
    hits, seen = np.cumsum(present)[ends], np.cumsum(weight[order])[ends]
    if not hits[-1]:
        return float("nan")
    found = np.diff(hits, prepend=0.0)
    return float((found[found > 0] * (hits / np.maximum(seen, 1e-300))[found > 0]).sum() / hits[-1])


_METRICS: dict[str, Callable[..., float]] = {
    "mean_absolute_error": mean_absolute_error,
    "binary_accuracy": binary_accuracy,
    "four_class_accuracy": four_class_accuracy,
    "pearson": pearson,
    "macro_f1": presence_f1,
    "average_precision": average_precision,
}


def intensity_scores(predictions: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Every metric of graded emotions, over all of `names` and of each: `pearson` and `pearson_<name>`, and so on.

    `predictions` and `labels` are (N, K), labels NaN where unknown. What is over all is the mean of the emotions where
    the metric is defined, NaN where it is defined for none. `macro_f1_<name>` is the F1 of the presence of one emotion.

    Raises:
        BatchError: other shapes than (N, K) for K names, or an emotion without a label.
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    _check_table("labels", labels, len(names))
    _check_table("predictions", predictions, len(names))
    found = {}
    for metric, score in _METRICS.items():
        values = [score(predictions[:, k], labels[:, k]) for k in range(len(names))]
        defined = [value for value in values if not np.isnan(value)]
        found[metric] = float(np.mean(defined)) if defined else float("nan")
        found |= {f"{metric}_{name}": value for name, value in zip(names, values, strict=True)}
    return found


def all_zero(count: int, size: int) -> np.ndarray:
    """No emotion anywhere, (count, size)."""
    return np.zeros((count, size))


def random_intensities(
    count: int, size: int, random: np.random.Generator, *, with_zero: bool = False, replace: bool = False
) -> np.ndarray:
    """For each utterance a uniform number of emotions, which ones at random, each of a random grade: (count, size).

    `with_zero` draws grades from 0 on, `replace` lets an emotion be drawn twice, which then counts once.
    """
    return _filled([_drawn(size, random.integers(0, size + 1), random, replace) for _ in range(count)], size, random,
                   with_zero)  # fmt: skip


def label_category_intensities(train_labels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Each emotion present as often as in `train_labels` (N, K), of a random grade: (count, K)."""
    _check_table("train_labels", train_labels, None)
    shares = np.nanmean(np.where(np.isnan(train_labels), np.nan, train_labels > 0), axis=0)
    present = random.random((count, len(shares))) < shares
    return np.where(present, random.choice(GRADES, present.shape), 0.0)


def label_quantity_intensities(train_labels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """As many emotions as an utterance of `train_labels` (N, K) drawn at random has, of random grades: (count, K)."""
    _check_table("train_labels", train_labels, None)
    numbers = random.choice((np.nan_to_num(train_labels) > 0).sum(axis=1), count)
    size = train_labels.shape[1]
    return _filled([_drawn(size, number, random, False) for number in numbers], size, random, False)


def baseline_scores(
    train_labels: np.ndarray, labels: np.ndarray, names: Sequence[str], seed: int = 0
) -> dict[str, dict[str, float]]:
    """`intensity_scores` on `labels` (N, K) of `all_zero` and the three random predictors, by their names."""
    random, (count, size) = np.random.default_rng(seed), np.shape(labels)
    predictors = {
        "all_zero": all_zero(count, size),
        "random": random_intensities(count, size, random),
        "label_category": label_category_intensities(train_labels, count, random),
        "label_quantity": label_quantity_intensities(train_labels, count, random),
    }
    return {name: intensity_scores(predictions, labels, names) for name, predictions in predictors.items()}


@dataclass(frozen=True)
class LabelSets:
    """How often emotions occur together: `combinations` of names, the most frequent first, and `sizes` (K + 1,).

    `sizes[n]` counts the utterances with n emotions; the combination of none is the empty tuple.
    """

    combinations: Mapping[tuple[str, ...], int]
    sizes: np.ndarray

    @property
    def count(self) -> int:
        return int(self.sizes.sum())


def label_sets(labels: np.ndarray, names: Sequence[str]) -> LabelSets:
    """Count the combinations of emotions above 0 in `labels` (N, K); an utterance with an unknown value is left out.

    Raises:
        BatchError: another shape, or no utterance.
    """
    labels = np.asarray(labels)
    _check_table("labels", labels, len(names))
    known = labels[~np.isnan(labels).any(axis=1)]
    if not len(known):
        raise BatchError("labels", "at least one utterance with all values", "none")
    sets = Counter(tuple(name for name, value in zip(names, row, strict=True) if value > 0) for row in known)
    ordered = dict(sorted(sets.items(), key=lambda item: (-item[1], item[0])))
    return LabelSets(ordered, np.bincount((known > 0).sum(axis=1), minlength=len(names) + 1))


def _check_table(field: str, table: np.ndarray, size: int | None) -> None:
    if table.ndim != 2 or not len(table) or size not in (None, table.shape[1]):
        raise BatchError(field, f"shape (N, {size or 'K'}), N at least 1", table.shape)


def _drawn(size: int, number: int, random: np.random.Generator, replace: bool) -> np.ndarray:
    return random.choice(size, number, replace=replace)


def _filled(chosen: Sequence[np.ndarray], size: int, random: np.random.Generator, with_zero: bool) -> np.ndarray:
    grades = np.concatenate([[0.0], GRADES]) if with_zero else GRADES
    table = np.zeros((len(chosen), size))
    for row, labels in zip(table, chosen, strict=True):
        row[labels] = random.choice(grades, len(labels))
    return table
