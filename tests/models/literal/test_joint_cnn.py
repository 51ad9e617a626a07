"""The joint-CNN of Sebastian and Pierucci against its transcription: Eq. 1, two convolutions, two dense layers."""

import torch

from mm_emotion.models import EarlyFusionConfig, EarlyFusionForEmotionRecognition

from . import fusion as literal
from .cases import leaves, randomize

CONVOLUTION = {"kind": "conv1d", "filters": 3, "kernel_size": 5, "activation": "relu"}
HALVES = {"kind": "pool", "reduce": "max", "size": 2}
DENSE = [{"kind": "dense", "units": units, "activation": "relu"} for units in (4, 3)]
STAGES = [{"kind": "expand", "axis": "channels"}, CONVOLUTION, HALVES, CONVOLUTION, HALVES, {"kind": "flatten"}, *DENSE]


def convolve(weights: literal.Weights, rows: list[torch.Tensor]) -> list[torch.Tensor]:
    """relu of every filter on every whole window of the rows (T, C)."""
    filters = list(zip(weights["weight"], weights["bias"], strict=True))  # (C, k) each
    width = weights["weight"].shape[2]
    windows = [torch.stack(rows[start : start + width], 1) for start in range(len(rows) - width + 1)]
    return [
        literal.relu(torch.stack([(kernel * window).sum() + bias for kernel, bias in filters])) for window in windows
    ]


def joint_cnn(weights: literal.Weights, text: torch.Tensor, speech: torch.Tensor) -> torch.Tensor:
    rows = [value[None] for value in literal.projection(literal.under(weights, "projection"), text, speech)]
    for stage in (1, 3):
        rows = convolve(literal.under(weights, f"stack.stages.{stage}.convolutions.0"), rows)
        rows = [torch.maximum(*pair) for pair in zip(rows[::2], rows[1::2], strict=False)]
    vector = torch.cat(rows)  # time first, channels last
    for stage in (6, 7):
        vector = literal.relu(literal.linear(literal.under(weights, f"stack.stages.{stage}"), vector))
    return literal.linear(literal.under(weights, "stack.classifier"), vector)


def test_d2_logits_and_gradients():
    torch.manual_seed(5)
    stack = {"model_type": "sequence_stack", "input_kind": "vector", "modality_dims": {"text": 18}, "stages": STAGES}
    config = EarlyFusionConfig(modality_dims={"text": 9, "audio": 9}, projection_size=18, stack=stack, num_labels=4)
    model = randomize(EarlyFusionForEmotionRecognition(config))
    text, speech = torch.randn(2, 3, 1, 9, dtype=torch.float64)
    weights = leaves(model)
    logits = model(text=text, audio=speech).logits[:, 0]
    expected = torch.stack([joint_cnn(weights, *pair) for pair in zip(text[:, 0], speech[:, 0], strict=True)])
    torch.testing.assert_close(logits, expected)
    pull = torch.randn_like(expected)
    names = [name for name, _ in model.named_parameters()]
    ours = torch.autograd.grad((logits * pull).sum(), list(model.parameters()))
    theirs = torch.autograd.grad((expected * pull).sum(), [weights[name] for name in names])
    for name, our, their in zip(names, ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-8, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")
