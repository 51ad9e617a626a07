"""Predictions of a trained model, the metrics they earn, and the result rows that record them."""

import csv
import hashlib
import math
import operator
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import reduce

from mm_emotion import metrics
from mm_emotion.atomic import replace_file
from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.data.splits import Split
from mm_emotion.errors import CorpusError
from mm_emotion.metrics.intensities import all_zero, intensity_scores
from mm_emotion.metrics.sentiment import sentiment_scores
from mm_emotion.schema import IGNORE_INDEX
from mm_emotion.training.recipe import Recipe

RESULT_COLUMNS = (
    "recipe", "corpus", "labels", "split", "fold", "seed", "selected_on", "causal", "parameters",
    "metric", "value", "n", "commit", "versions",
)  # fmt: skip
LEGACY = "test (legacy, leaks)"
"""`selected_on` of what chose its epoch on the test part."""

_BATCH_VALUES = 2**24  # inputs of a batch of predictions: a thousand vectors, a few clips
INTERVAL_METRICS = ("accuracy", "weighted_f1", "unweighted_accuracy")


@dataclass(frozen=True)
class Prediction:
    """Outputs for the rows of a part, in row order.

    `logits` (N, K), `hidden_states` (N, H), `labels` (N,) or (N, K), `dialogue_ids` (N,).
    """

    logits: np.ndarray
    hidden_states: np.ndarray
    labels: np.ndarray
    dialogue_ids: np.ndarray

    @property
    def valid(self) -> np.ndarray:
        """(N,) bool: which rows have a label."""
        return ~np.isnan(self.labels).all(axis=1) if self.labels.ndim == 2 else self.labels != IGNORE_INDEX

    @property
    def labelled(self) -> int:
        """How many rows have a label."""
        return int(self.valid.sum())

    @property
    def classes(self) -> np.ndarray:
        """(N,) predicted label ids."""
        return self.logits.argmax(axis=-1)


@torch.no_grad()
def predict(
    model: torch.nn.Module,
    dataset: DialogueDataset,
    collator: EmotionCollator,
    *,
    accelerator: Accelerator | None = None,
    batch_size: int | None = None,
) -> Prediction:
    """Run `model` over all rows of `dataset`, its work cut over the processes, and give every process the whole result.

    Units of like length share a batch, of about 1 000 utterances, fewer of clips, unless `batch_size` units are asked
    for.
    """
    lengths = np.asarray(dataset.lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    rank, processes = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    count = int(offsets[-1])
    logits = torch.zeros(count, model.config.num_labels, device=device)
    hidden = None
    values = max(math.prod(size or 1 for size in axes) for axes in model.input_shapes().values())
    utterances = max(1, min(1000, _BATCH_VALUES // values))
    for units in _length_batches(lengths, batch_size, utterances)[rank::processes]:
        batch = collator([dataset[int(unit)] for unit in units])
        batch.pop("labels", None)
        output = model(**{key: value.to(device) for key, value in batch.items()})
        if hidden is None:
            hidden = torch.zeros(count, output.hidden_states.shape[-1], device=device)
        for position, unit in enumerate(units):
            rows = slice(offsets[unit], offsets[unit + 1])
            logits[rows] = output.logits[position, : lengths[unit]].float()
            hidden[rows] = output.hidden_states[position, : lengths[unit]].float()
    if processes > 1:
        if hidden is None:
            hidden = torch.zeros(count, model.config.representation_size, device=device)
        logits, hidden = reduce(logits, "sum"), reduce(hidden, "sum")
    model.train(was_training)
    labels = np.asarray(dataset.labels) if dataset.labels is not None else np.full(count, IGNORE_INDEX)
    dialogue_ids = np.repeat(np.asarray(dataset.dialogue_ids, dtype=object), lengths)
    return Prediction(logits.cpu().numpy(), hidden.cpu().numpy(), labels, dialogue_ids)


def _length_batches(lengths: np.ndarray, batch_size: int | None, utterances: int) -> list[np.ndarray]:
    order = np.argsort(lengths, kind="stable")[::-1]
    batches, start = [], 0
    while start < len(order):
        size = batch_size or max(1, utterances // int(lengths[order[start]]))
        batches.append(order[start : start + size])
        start += size
    return batches


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


def subset(prediction: Prediction, keep: np.ndarray) -> Prediction:
    """The rows where `keep` (N,) is True."""
    return Prediction(
        prediction.logits[keep], prediction.hidden_states[keep], prediction.labels[keep], prediction.dialogue_ids[keep]
    )


def result_rows(stamp: Mapping[str, object], values: Mapping[str, float], n: int) -> list[dict[str, object]]:
    """One row a metric, in RESULT_COLUMNS, with the environment filled in."""
    return [
        {**stamp, "metric": name, "value": round(float(value), 6), "n": n, "commit": commit(), "versions": versions()}
        for name, value in values.items()
    ]


def write_results(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Add rows to a results file, taking the place of rows of the same run and metric.

    Versions are written in full where they first stand in the file, behind eight letters that stand for them after.
    """
    key = tuple(
        name for name in RESULT_COLUMNS if name not in ("value", "n", "commit", "versions", "parameters", "causal")
    )
    merged = {tuple(str(row[name]) for name in key): dict(row) for row in [*read_results(path), *rows]}
    known: set[str] = set()
    with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, RESULT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in sorted(merged):
            text = str(merged[name]["versions"])
            letters = hashlib.sha256(text.encode()).hexdigest()[:8]
            writer.writerow({**merged[name], "versions": letters if text in known else f"{letters}: {text}"})
            known.add(text)


def read_results(path: Path) -> list[dict[str, str]]:
    """Rows of a results file with their versions in full, none where there is no file.

    Raises CorpusError when its columns differ, or versions stand nowhere in full.
    """
    if not Path(path).exists():
        return []
    with Path(path).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != RESULT_COLUMNS:
            raise CorpusError(f"results file {path}", f"columns {', '.join(RESULT_COLUMNS)}", reader.fieldnames)
        rows = list(reader)
    texts = dict(row["versions"].split(": ", 1) for row in rows if ": " in row["versions"])
    for row in rows:
        letters, _, text = row["versions"].partition(": ")
        if not text and "=" not in letters:  # rows that name their versions themselves were written by older releases
            text = texts.get(letters, "")
            if not text:
                raise CorpusError(f"versions of results file {path}", "to stand in full in one row", repr(letters))
        row["versions"] = text or letters
    return rows


@cache
def commit() -> str:
    """Short commit of the source tree that runs, marked when it has changes; `release` for an installed package."""
    folder = Path(__file__).resolve().parent.parent.parent
    if not (folder / ".git").exists():
        return "release"

    if shutil.which("git") is None:
        return "unknown"

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = git("status", "--porcelain", "--", "mm_emotion", "csrc", "datasets_scripts")
    return (git("rev-parse", "--short", "HEAD") or "unborn") + ("+changes" if changed else "")


@cache
def versions() -> str:
    """Versions of what the numbers depend on."""
    names = ("mm_emotion", "torch", "transformers", "datasets", "accelerate", "numpy")
    return " ".join(f"{name}={version(name)}" for name in names)
