"""Ragged batches in the batch contract, and how a model is held against a transcription of it."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

from .transcriptions import Weights

Batch = dict[str, Tensor]
Model = TypeVar("Model", bound=nn.Module)


def ragged_batch(lengths: list[int], parties: int, width: int, num_labels: int, extra_padding: int = 0) -> Batch:
    """Dialogues of the given lengths, float64, zeros and -100 on padding; (B, U, D) text and its masks."""
    shape = (len(lengths), max(lengths) + extra_padding)
    utterance_mask = torch.arange(shape[1]) < torch.tensor(lengths).unsqueeze(1)  # (B, U)
    speakers = torch.randint(parties, shape)
    return {
        "text": torch.randn(*shape, width, dtype=torch.float64) * utterance_mask.unsqueeze(2),
        "utterance_mask": utterance_mask,
        "speaker_mask": nn.functional.one_hot(speakers, parties).bool() & utterance_mask.unsqueeze(2),
        "labels": torch.randint(num_labels, shape).masked_fill(~utterance_mask, -100),
    }


def leaves(model: nn.Module) -> Weights:
    """The weights of a model as float64 leaves of their own, for gradients that owe nothing to the model."""
    state = model.state_dict()
    return {name: value.detach().clone().requires_grad_(value.is_floating_point()) for name, value in state.items()}


def assert_parity(model: nn.Module, batch: Batch, transcription: Callable[[Weights, int], Tensor]) -> None:
    """Equal logits on every valid utterance of each dialogue and equal gradients of every weight and valid feature.

    `transcription` gives the logits (U, K) of one dialogue, padded or not; the objective is a random sum of them.
    """
    features = [batch["text"].requires_grad_()] if "text" in batch else []
    mask = batch["utterance_mask"]
    logits = model(**inputs(batch)).logits
    weights = leaves(model)
    objective = literal_objective = torch.zeros((), dtype=torch.float64)
    for dialogue, length in enumerate(mask.sum(1).tolist()):
        expected = transcription(weights, dialogue)[:length]
        torch.testing.assert_close(logits[dialogue, :length], expected, rtol=1e-9, atol=1e-10)
        pull = torch.randn_like(expected)
        objective = objective + (logits[dialogue, :length] * pull).sum()
        literal_objective = literal_objective + (expected * pull).sum()

    ours = torch.autograd.grad(objective, [*model.parameters(), *features])
    names = [*(name for name, _ in model.named_parameters()), *(["text"] if features else [])]
    literal_leaves = [*(weights[name] for name, _ in model.named_parameters()), *features]
    theirs = torch.autograd.grad(literal_objective, literal_leaves, materialize_grads=True)  # untouched weights: 0
    for name, our, their in zip(names, ours, theirs, strict=True):
        if name == "text":
            assert our[~mask].count_nonzero() == 0
            our, their = our[mask], their[mask]
        torch.testing.assert_close(our, their, rtol=1e-8, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")
    for feature in features:
        feature.requires_grad_(False)


def randomize(model: Model) -> Model:
    """The model in float64 and evaluation mode, every weight redrawn so that no two terms are alike or negligible."""
    model = model.double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.6)
    return model


def inputs(batch: Batch) -> Batch:
    """The batch without its labels."""
    return {name: value for name, value in batch.items() if name != "labels"}


def alone(batch: Batch, dialogue: int) -> Batch:
    """One dialogue as a batch of its own without padding."""
    length = int(batch["utterance_mask"][dialogue].sum())
    return {name: value[dialogue : dialogue + 1, :length] for name, value in batch.items()}
