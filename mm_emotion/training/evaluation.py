"""The metrics that predictions earn, and the result rows that record them."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mm_emotion import metrics
from mm_emotion.data.splits import Split
from mm_emotion.errors import CorpusError
from mm_emotion.metrics.intensities import all_zero, intensity_scores
from mm_emotion.metrics.sentiment import sentiment_scores
from mm_emotion.training.prediction import Prediction, predict, subset
from mm_emotion.training.recipe import Recipe
from mm_emotion.training.results import RESULT_COLUMNS, commit, read_results, result_rows, versions, write_results

__all__ = [
    "INTERVAL_METRICS",
    "LEGACY",
    "RESULT_COLUMNS",
    "Prediction",
    "RunFacts",
    "commit",
    "intervals",
    "mean_loss",
    "monitored_value",
    "part_results",
    "predict",
    "read_results",
    "result_rows",
    "scores",
    "subset",
    "versions",
    "write_results",
]

LEGACY = "test (legacy, leaks)"
"""`selected_on` of what chose its epoch on the test part."""

INTERVAL_METRICS = ("accuracy", "weighted_f1", "unweighted_accuracy")


def monitored_value(
    name: str, prediction: Prediction, model: torch.nn.Module
) -> tuple[float, Callable[[float, float], bool]]:
    """The value that chooses epochs, and the comparison that says when one is better than another."""
    if name == "loss":
        return mean_loss(prediction, model), operator.lt
    value = scores(prediction, model.config.problem_type == "regression")[name]
    if name == "mean_absolute_error":
        return value, operator.lt
    return value, operator.gt


def mean_loss(prediction: Prediction, model: torch.nn.Module) -> float:
    """Loss of a whole part, by the model's own loss function."""
    logits, labels = torch.from_numpy(prediction.logits)[None], torch.from_numpy(prediction.labels)[None]
    mask = torch.ones(logits.shape[:2], dtype=torch.bool)
    if model.config.loss == "ccc_per_recording":
        ids = prediction.dialogue_ids
        cuts = [0, *(np.flatnonzero(ids[1:] != ids[:-1]) + 1).tolist(), len(ids)]
        sizes = np.diff(cuts).tolist()
        logits, labels, mask = (
            torch.nn.utils.rnn.pad_sequence(part[0].split(sizes), batch_first=True) for part in (logits, labels, mask)
        )  # (B, U, ..)
    numerator, denominator = model.loss_terms(logits, labels, mask)
    return float(numerator / denominator)


def scores(prediction: Prediction, regression: bool, names: Sequence[str] | None = None) -> dict[str, float]:
    """All metrics of a part over its labelled rows, by the names of `mm_emotion.metrics`.

    `names` are those of the dimensions of a regression: sentiment has metrics of its own, and of several dimensions
    each is scored, and beside the model the constant 0 (`<metric>/all_zero`).
    """
    if regression and prediction.labels.shape[1] > 1:
        return _several_scores(prediction, names or [str(k) for k in range(prediction.labels.shape[1])])
    if regression:
        valid = prediction.valid
        labels, predicted = prediction.labels[valid, 0], prediction.logits[valid, 0]
        own = sentiment_scores(predicted, labels) if names and tuple(names) == ("sentiment",) else {}
        return own | {
            "mean_absolute_error": metrics.mean_absolute_error(predicted, labels),
            "pearson": metrics.pearson(predicted, labels),
            "concordance_correlation": metrics.concordance_correlation(predicted, labels),
        }
    valid = prediction.valid
    labels, predicted = prediction.labels[valid], prediction.classes[valid]
    if not len(labels):
        raise CorpusError("labels", "at least one labelled utterance", "none")
    return {
        "accuracy": metrics.accuracy(predicted, labels),
        "unweighted_accuracy": metrics.unweighted_accuracy(predicted, labels),
        "weighted_f1": metrics.weighted_f1(predicted, labels),
        "macro_f1": metrics.macro_f1(predicted, labels),
    }


def _several_scores(prediction: Prediction, names: Sequence[str]) -> dict[str, float]:
    valid = prediction.valid
    labels, predicted = prediction.labels[valid], prediction.logits[valid]
    zero = intensity_scores(all_zero(*labels.shape), labels, names)
    beside = {f"{metric}/all_zero": value for metric, value in zero.items() if not metric.endswith(tuple(names))}
    return intensity_scores(predicted, labels, names) | beside


def intervals(prediction: Prediction, seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % bootstrap intervals over dialogues of the chief classification metrics."""
    valid = prediction.valid
    return {
        name: metrics.bootstrap_interval(
            getattr(metrics, name),
            prediction.classes[valid],
            prediction.labels[valid],
            prediction.dialogue_ids[valid],
            seed=seed,
        )
        for name in INTERVAL_METRICS
    }


@dataclass(frozen=True)
class RunFacts:
    """What every result row of one run says beside its metric."""

    split: Split
    seed: int
    selected_on: str
    causal: bool
    parameters: int


def part_results(
    recipe: Recipe,
    facts: RunFacts,
    prediction: Prediction,
    part: str,
    scenarios: Sequence[str] | None = None,
    extra: Mapping[str, float] | None = None,
) -> list[dict[str, object]]:
    """Result rows of one part, in RESULT_COLUMNS: all metrics, intervals, and the test part's scenarios apart.

    `extra` are values of a regression beside its metrics.
    """
    stamp = {
        "recipe": recipe.name,
        "corpus": recipe.corpus.name,
        "labels": recipe.corpus.labels,
        "split": facts.split.name
        + ("" if facts.split.speaker_independent else " (speaker_independent: false)")
        + (" (features saw test labels)" if facts.split.seen_features else ""),
        "fold": part,
        "seed": facts.seed,
        "selected_on": LEGACY if facts.selected_on == "test" or facts.split.legacy else facts.selected_on,
        "causal": str(facts.causal).lower(),
        "parameters": facts.parameters,
    }
    values = scores(prediction, recipe.is_regression, recipe.label_names)
    if recipe.is_regression:
        return result_rows(stamp, {**values, **(extra or {})}, prediction.labelled)
    for name, (low, high) in intervals(prediction).items():
        values |= {f"{name}_low": low, f"{name}_high": high}
    rows = result_rows(stamp, values, prediction.labelled)
    if part == "test" and scenarios is not None:
        names = np.asarray(scenarios, dtype=object)
        for scenario in sorted({name for name in scenarios if name}):
            some = subset(prediction, names == scenario)
            if some.labelled:
                rows += result_rows({**stamp, "fold": f"{part}/{scenario}"}, scores(some, False), some.labelled)
    return rows
