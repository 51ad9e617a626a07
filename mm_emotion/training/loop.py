"""The training loop, driven by Accelerate: seeded order, exact resume, selection on the parts it is given.

Each epoch visits the units in an order drawn from (seed, epoch) alone. A batch is cut over the processes, and the loss
is the summed numerator over the summed normaliser of all, so the number of processes changes nothing but speed (but
for the ccc loss, a statistic of each process's share).
"""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.errors import TrainingError
from mm_emotion.schema import IGNORE_INDEX
from mm_emotion.training.evaluation import monitored_value, predict
from mm_emotion.training.recipe import Training
from mm_emotion.training.run_state import OPTIMIZERS, STATE_FILE, Progress, Run

__all__ = ["OPTIMIZERS", "STATE_FILE", "Progress", "cropped", "epoch_order", "train"]


def train(
    model: torch.nn.Module,
    train_set: DialogueDataset,
    selection_sets: Mapping[str, DialogueDataset],
    training: Training,
    *,
    seed: int,
    folder: Path,
    accelerator: Accelerator,
    collator: EmotionCollator,
    identity: str = "",
    state_seconds: float = 30.0,
    description: str = "train",
    progress_bar: bool = True,
) -> Progress:
    """Train `model` in place; keep each selection set's best epoch in `folder/best_<name>.safetensors`.

    The first selection set also drives early stopping. A run that finds its own state in `folder` goes on from there
    and ends with the same weights, bit for bit on a CPU, as one that was never interrupted. `identity` is what must
    agree between the two beside settings, seed and shapes: the data.
    Raises TrainingError when the loss is not finite, CheckpointError when the state is damaged or of another run.
    """
    identity = f"{identity} selected on {', '.join(selection_sets)}"
    run = Run(model, training, seed, folder, accelerator, identity)
    progress = run.resume()
    batches_per_epoch = -(-len(train_set) // training.batch_size)
    bar = tqdm(
        total=training.epochs * batches_per_epoch,
        initial=progress.epoch * batches_per_epoch + progress.batch,
        desc=description,
        unit="batch",
        disable=not (progress_bar and accelerator.is_main_process),
    )
    saved_at = time.monotonic()
    while progress.epoch < training.epochs and not _stopped(progress, training):
        order = epoch_order(len(train_set), seed, progress.epoch)
        for batch_index in range(progress.batch, batches_per_epoch):
            units = order[batch_index * training.batch_size : (batch_index + 1) * training.batch_size]
            due = time.monotonic() - saved_at >= state_seconds
            mine = _share(units, accelerator)
            dialogues = [cropped(train_set[int(unit)], training.crop, seed, progress.epoch, int(unit)) for unit in mine]
            batch = _batch(dialogues or [train_set[int(units[0])]], bool(dialogues), collator, accelerator)
            save_now = run.step(batch, due)
            progress.batch = batch_index + 1
            bar.update()
            if save_now and progress.batch < batches_per_epoch:
                run.save(progress)
                saved_at = time.monotonic()
        _end_epoch(run, progress, selection_sets, training, collator)
        curves = {f"{description}/{name}": value for name, value in progress.history[-1].items() if name != "epoch"}
        accelerator.log(curves, step=progress.epoch)
        bar.set_postfix({"epoch": progress.epoch, **_shown(progress)}, refresh=False)
        if save_now or progress.epoch == training.epochs or _stopped(progress, training):
            run.save(progress)
            saved_at = time.monotonic()
    bar.close()
    return progress


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Order of the `count` units in one epoch, drawn from seed and epoch alone."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def cropped(dialogue: list[dict], least: float | None, seed: int, epoch: int, unit: int) -> list[dict]:
    """The dialogue, or every other time a random stretch of at least the share `least` of its utterances.

    Drawn from seed, epoch and the unit's number alone.
    """
    if least is None:
        return dialogue
    random = np.random.default_rng([seed, epoch, unit, 1])
    length = int(np.ceil(len(dialogue) * random.uniform(least, 1.0)))
    start = int(random.integers(len(dialogue) - length + 1))
    return dialogue[start : start + length] if random.random() < 0.5 else dialogue


def _share(units: np.ndarray, accelerator: Accelerator) -> np.ndarray:
    """This process's part of a batch; it may be empty."""
    return np.array_split(units, accelerator.num_processes)[accelerator.process_index]


def _batch(dialogues: list[list[dict]], counts: bool, collator: EmotionCollator, accelerator: Accelerator) -> dict:
    """Dialogues on this process's device; a process without a share of its own takes one whose labels do not count."""
    batch = collator(dialogues)
    if not counts:
        labels = batch["labels"]
        labels.fill_(torch.nan if labels.is_floating_point() else IGNORE_INDEX)
    return {key: value.to(accelerator.device) for key, value in batch.items()}


def _end_epoch(run: Run, progress: Progress, selection_sets, training: Training, collator: EmotionCollator) -> None:
    row = {"epoch": progress.epoch + 1, "train_loss": run.take_epoch_loss(progress.batch)}
    if not np.isfinite(row["train_loss"]):
        raise TrainingError(
            f"training loss of epoch {progress.epoch + 1}",
            "a finite number",
            row["train_loss"],
            "lower training.learning_rate?",
        )
    for position, (name, dataset) in enumerate(selection_sets.items()):
        prediction = predict(run.evaluated, dataset, collator, accelerator=run.accelerator)
        value, better = monitored_value(training.monitor, prediction, run.evaluated)
        row[f"{name}_{training.monitor}"] = value
        previous = progress.best.get(name)
        improved = previous is None or better(value, previous["value"])
        if improved:
            progress.best[name] = {"epoch": progress.epoch + 1, "value": value}
            run.save_best(name)
        if position == 0:
            progress.stale_epochs = 0 if improved else progress.stale_epochs + 1
    progress.history.append(row)
    progress.epoch += 1
    progress.batch = 0


def _stopped(progress: Progress, training: Training) -> bool:
    return training.patience is not None and progress.stale_epochs >= training.patience


def _shown(progress: Progress) -> dict[str, str]:
    return {key: f"{value:.3f}" for key, value in progress.history[-1].items() if key != "epoch"}
