"""Predictions of a model for whole parts of a corpus."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import reduce

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.schema import IGNORE_INDEX

_BATCH_VALUES = 2**24  # inputs of a batch of predictions: a thousand vectors, a few clips


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


def subset(prediction: Prediction, keep: np.ndarray) -> Prediction:
    """The rows where `keep` (N,) is True."""
    return Prediction(
        prediction.logits[keep], prediction.hidden_states[keep], prediction.labels[keep], prediction.dialogue_ids[keep]
    )
