"""Continuous affect in a run: the delay that does best, and every column of a result that outputs are judged by."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from datasets import Dataset

from mm_emotion import metrics
from mm_emotion.atomic import replace_file
from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.data.delay import advance_labels
from mm_emotion.data.rows import column_values
from mm_emotion.errors import CheckpointError, CorpusError
from mm_emotion.metrics.delay import delayed, frames_of
from mm_emotion.metrics.importance import LinearFusion, fit_linear_fusion, leave_one_recording_out
from mm_emotion.metrics.outputs import SCALINGS, LabelStatistics, scale, smooth
from mm_emotion.training.evaluation import Prediction, predict
from mm_emotion.training.fitting import expert_outputs
from mm_emotion.training.frames import Frames
from mm_emotion.training.recipe import Recipe
from mm_emotion.training.stages import Job, collator_of, dataset_of

FILE_NAME = "frame_outputs.json"
"""In the folder of a saved system: the delay that it was trained with, and the statistics of the labels."""

TrainSystem = Callable[[Recipe, Dataset, Job], tuple[torch.nn.Module, torch.nn.Module, Dataset]]


@dataclass(frozen=True)
class Outputs:
    """What becomes of the outputs of a trained network: delayed by `delay` s, smoothed, then scaled by its labels."""

    frames: Frames
    delay: float
    labels: LabelStatistics

    def in_time(self, values: np.ndarray, recordings: np.ndarray) -> np.ndarray:
        """Outputs (N,) of the frames of `recordings` (N,), delayed and smoothed."""
        step = self.frames.frame_step
        late = delayed(values, recordings, frames_of(self.delay, step))
        return smooth(late, recordings, self.frames.smoothing, self.frames.smoothing_width, step)

    def of(self, prediction: Prediction) -> Prediction:
        """The prediction with its outputs in time."""
        values = self.in_time(prediction.logits[:, 0], prediction.dialogue_ids)
        return replace(prediction, logits=values[:, None])

    def save(self, folder: Path) -> None:
        """Write what the recipe does not say to FILE_NAME in the folder of a saved system."""
        with replace_file(Path(folder) / FILE_NAME) as temporary:
            text = json.dumps({"delay": self.delay, "labels": asdict(self.labels)}, indent=2)
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, frames: Frames) -> "Outputs":
        """What `save` wrote; raises CheckpointError where it is missing or damaged."""
        path = Path(folder) / FILE_NAME
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            labels = LabelStatistics(**{name: float(value) for name, value in saved["labels"].items()})
            return cls(frames, float(saved["delay"]), labels)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            expected = "the delay and the statistics of the labels of a system of frames"
            raise CheckpointError(str(path), expected, error, "train it again") from error

    def columns(self, prediction: Prediction) -> dict[str, float]:
        """CCC of outputs that are in time in each scaling, over all frames and as the mean of the recordings."""
        valid = prediction.valid
        labels, names = prediction.labels[valid, 0], prediction.dialogue_ids[valid].astype(str)
        found = {}
        for scaling in SCALINGS:
            values = scale(prediction.logits[:, 0], self.labels, scaling)[valid]
            found[f"concordance_correlation/{scaling}"] = metrics.concordance_correlation(values, labels)
            found[f"concordance_correlation_by_recording/{scaling}"] = metrics.concordance_correlation(
                values, labels, groups=names
            )
        return found


def train_with_delay(
    recipe: Recipe, rows: Dataset, job: Job, train_system: TrainSystem
) -> tuple[torch.nn.Module, torch.nn.Module, Outputs, dict[float, float]]:
    """Train the recipe for each of its delays and keep the best; also the CCC on the validation part by delay.

    Returns the recipe's own model, the system that is saved, what becomes of its outputs, and the curve, which is empty
    where there is but one delay.
    """
    frames = recipe.frames
    known = [value[0] for value in column_values(job.part(rows, frames.scaling_labels), "affect") if value is not None]
    if not known:
        raise CorpusError(f"labels of the {frames.scaling_labels} part", "at least one value", "none")
    statistics = LabelStatistics.of(np.asarray(known))
    best, kept, curve = -np.inf, None, {}
    for delay in frames.delays:
        moved = advance_labels(rows, frames_of(delay, frames.frame_step), frames.keep_length)
        own = job if len(frames.delays) == 1 else replace(job, out=job.out / f"delay_{delay:g}s")
        model, system, _ = train_system(recipe, moved, own)
        outputs = Outputs(frames, delay, statistics)
        if len(frames.delays) == 1:
            return model, system, outputs, {}
        chosen = outputs.of(_predicted(model, recipe, rows, job, recipe.protocol.select_on))
        valid = chosen.valid
        value = metrics.concordance_correlation(chosen.logits[valid, 0], chosen.labels[valid, 0])
        curve[delay] = value
        if kept is None or value > best:
            best, kept = value, (model, system, outputs)
    return *kept, curve


def judge(
    model: torch.nn.Module,
    recipe: Recipe,
    dataset: DialogueDataset,
    collator: EmotionCollator,
    prediction: Prediction,
    outputs: Outputs,
) -> tuple[Prediction, dict[str, float]]:
    """The prediction of `dataset` with its outputs in time, and the values beside its metrics."""
    prediction = outputs.of(prediction)
    beside = {"annotation_delay": outputs.delay, **outputs.columns(prediction)}
    if recipe.children and model.config.rule == "linear":
        beside |= _fusion_columns(model, recipe, dataset, collator, outputs)
    return prediction, beside


def _fusion_columns(
    model: torch.nn.Module, recipe: Recipe, dataset: DialogueDataset, collator: EmotionCollator, outputs: Outputs
) -> dict[str, float]:
    """What a late fusion by linear regression is printed with: shares of its children, and CCC by other fits.

    `fitted_on_itself` fits the fusion on the very part that it is judged on, as one reading of the paper has it;
    `leave_one_recording_out` fits it on the other recordings of that part, where there are two.
    """
    fusion = LinearFusion(np.asarray(model.config.weights), model.config.intercept)
    names = [child.split("/")[-1].removesuffix(".yaml") for child in recipe.children]
    found = {f"importance/{name}": float(share) for name, share in zip(names, fusion.shares, strict=True)}
    said = expert_outputs(model, dataset, collator)[0][..., 0].numpy()  # (N, M)
    labels, recordings = dataset.labels[:, 0], np.repeat(np.asarray(dataset.dialogue_ids, object), dataset.lengths)
    late = np.stack([outputs.in_time(column, recordings) for column in said.T], axis=1)
    valid = ~np.isnan(labels)
    itself = fit_linear_fusion(late, labels)
    found |= {f"importance_fitted_on_itself/{n}": float(s) for n, s in zip(names, itself.shares, strict=True)}
    fits = {"fitted_on_itself": itself(late)}
    if len(set(recordings.tolist())) > 1:
        fits["leave_one_recording_out"] = leave_one_recording_out(late, labels, recordings)
    for fit, fused in fits.items():
        for scaling in SCALINGS:
            value = metrics.concordance_correlation(scale(fused, outputs.labels, scaling)[valid], labels[valid])
            found[f"concordance_correlation_{fit}/{scaling}"] = value
    return found


def _predicted(model: torch.nn.Module, recipe: Recipe, rows: Dataset, job: Job, part: str) -> Prediction:
    dataset = dataset_of(model, recipe, job.part(rows, part), job.processor)
    return predict(model, dataset, collator_of(model), accelerator=job.accelerator)
