"""The training loop, driven by Accelerate: seeded order, exact resume, selection on the parts it is given.

Each epoch visits the units in an order drawn from (seed, epoch) alone. A batch is cut over the processes, and the loss
is the summed numerator over the summed normaliser of all, so the number of processes changes nothing but speed (but
for the ccc loss, a statistic of each process's share).
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather, reduce
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm.auto import tqdm

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.errors import CheckpointError, TrainingError
from mm_emotion.schema import IGNORE_INDEX
from mm_emotion.training.evaluation import monitored_value, predict
from mm_emotion.training.pretrained import parameter_groups
from mm_emotion.training.recipe import Training
from mm_emotion.training.weights import read_tensors, write_tensors

OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "adadelta": torch.optim.Adadelta,
    "sgd": torch.optim.SGD,
}
STATE_FILE = "training_state.safetensors"


@dataclass
class Progress:
    """The counters of a run: everything in its state that is not a tensor."""

    epoch: int = 0
    batch: int = 0
    stale_epochs: int = 0
    best: dict[str, dict[str, float]] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


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
    run = _Run(model, training, seed, folder, accelerator, identity)
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


class _Run:
    """Model, optimiser and random state of one run, on this process, with the file that holds them."""

    def __init__(
        self,
        model: torch.nn.Module,
        training: Training,
        seed: int,
        folder: Path,
        accelerator: Accelerator,
        identity: str,
    ):
        self.model, self.training, self.seed, self.identity = model, training, seed, identity
        self.folder, self.accelerator = Path(folder), accelerator
        optimizer = OPTIMIZERS[training.optimizer](
            parameter_groups(model, training),
            lr=training.learning_rate,
            weight_decay=training.weight_decay,
            **training.optimizer_options,
        )
        self.prepared, self.optimizer = accelerator.prepare(model, optimizer)
        self.average = None
        if training.average_decay is not None:
            self.average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(training.average_decay))
        self.epoch_loss = torch.zeros((), device=accelerator.device)
        torch.manual_seed(seed + 1_000_003 * accelerator.process_index)

    def step(self, batch: dict[str, torch.Tensor], due: bool) -> bool:
        """One optimiser step on this process's share of a batch; whether the first process says that a state is due."""
        self.prepared.train()
        labels = batch.pop("labels")
        logits = self.prepared(**batch).logits
        numerator, denominator = self.model.loss_terms(logits, labels, batch["utterance_mask"])
        asked = float(due and self.accelerator.is_main_process)
        total, save_now = reduce(torch.stack([denominator.detach(), denominator.new_tensor(asked)]), "sum")
        total = total.clamp_min(torch.finfo(total.dtype).tiny)
        # DDP averages gradients over processes, hence the factor: summed numerators / summed normalisers remain.
        self.accelerator.backward(numerator * (self.accelerator.num_processes / total))
        if self.training.gradient_clip is not None:
            self.accelerator.clip_grad_norm_(self.prepared.parameters(), self.training.gradient_clip)
        self.optimizer.step()
        self.optimizer.zero_grad()
        if self.average is not None:
            self.average.update_parameters(self.model)
        self.epoch_loss += numerator.detach() / total
        return bool(save_now)

    @property
    def evaluated(self) -> torch.nn.Module:
        """The model that is judged and kept: the averaged one where the recipe asks for it."""
        return self.model if self.average is None else self.average.module

    def take_epoch_loss(self, batches: int) -> float:
        """Mean loss of the batches since the last call; raises TrainingError when it is not finite."""
        loss = float(reduce(self.epoch_loss.clone(), "sum")) / max(batches, 1)
        self.epoch_loss.zero_()
        return loss

    def save(self, progress: Progress) -> None:
        """Write model, optimiser and random states and the counters to one file, by rename."""
        accelerator = self.accelerator
        random_states = gather(torch.get_rng_state().to(accelerator.device)[None]).cpu()  # (processes, bytes)
        epoch_loss = gather(self.epoch_loss[None]).cpu()
        if accelerator.is_main_process:
            tensors = {f"model.{key}": value for key, value in self.model.state_dict().items()}
            for index, entries in self.optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{index}.{key}": torch.as_tensor(value) for key, value in entries.items()}
            if self.average is not None:
                tensors |= {f"average.{key}": value for key, value in self.average.state_dict().items()}
            tensors["random_states"] = random_states
            tensors["epoch_loss"] = epoch_loss
            if torch.cuda.is_available():
                tensors["cuda_random_state"] = torch.cuda.get_rng_state()
            metadata = {"progress": json.dumps(asdict(progress)), "identity": self._identity()}
            write_tensors(tensors, self.folder / STATE_FILE, metadata)
        accelerator.wait_for_everyone()

    def save_best(self, name: str) -> None:
        if self.accelerator.is_main_process:
            write_tensors(dict(self.evaluated.state_dict()), self.folder / f"best_{name}.safetensors", {})
        self.accelerator.wait_for_everyone()

    def resume(self) -> Progress:
        """Load the state of an earlier start of this very run, or begin."""
        path = self.folder / STATE_FILE
        if not path.exists():
            return Progress()
        tensors, metadata = read_tensors(path)
        if metadata.get("identity") != self._identity():
            raise CheckpointError(
                f"training state {path}",
                "a state of this run",
                "one of other data or settings",
                "remove it or name another --out",
            )
        progress = Progress(**json.loads(metadata["progress"]))
        if progress.epoch > self.training.epochs:
            hint = "remove it or name another --out"
            raise CheckpointError(
                f"training state {path}", f"at most {self.training.epochs} epochs", progress.epoch, hint
            )
        self.model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
        if self.average is not None:
            averages = {k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")}
            self.average.load_state_dict(averages)
        optimizer = self.optimizer.state_dict()
        states: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer."):
                _, index, entry = key.split(".", 2)
                states.setdefault(int(index), {})[entry] = value
        self.optimizer.load_state_dict({"state": states, "param_groups": optimizer["param_groups"]})
        rank = self.accelerator.process_index
        self.epoch_loss.copy_(tensors["epoch_loss"][rank])
        torch.set_rng_state(tensors["random_states"][rank].clone())
        if torch.cuda.is_available() and "cuda_random_state" in tensors:
            torch.cuda.set_rng_state(tensors["cuda_random_state"])
        return progress

    def _identity(self) -> str:
        """What must agree between a state and the run that resumes it; the number of epochs may grow."""
        training = {key: value for key, value in asdict(self.training).items() if key != "epochs"}
        shapes = {key: list(value.shape) for key, value in self.model.state_dict().items()}
        return json.dumps(
            {
                "training": training,
                "seed": self.seed,
                "processes": self.accelerator.num_processes,
                "weights": shapes,
                "of": self.identity,
            },
            sort_keys=True,
        )


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


def _end_epoch(run: _Run, progress: Progress, selection_sets, training: Training, collator: EmotionCollator) -> None:
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
