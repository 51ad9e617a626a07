"""The state of a training run: model, optimiser, random states and counters, and the one file that holds them."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import gather, reduce
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from mm_emotion.errors import CheckpointError
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


class Run:
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
