"""The module of each kind of stage: values and time mask in, values and time mask out.

Each also gets `real` (N,), which utterances are no padding, for statistics over the batch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.layers.convolution import ACTIVATIONS, PictureConvolution, StepConvolution, with_steps
from mm_emotion.layers.normalization import MaskedBatchNorm
from mm_emotion.layers.recurrent import AttentionDecoder, BothWays, OneBiasLSTM
from mm_emotion.models.sequence_stack import stage_table as table
from mm_emotion.models.sequence_stack.shapes import Shape, kernel_sizes, picture_kernel

Masked = tuple[Tensor, Tensor | None]
"""Values (N, D), (N, T, D) or (N, C, Y, X), and which steps count, (N, T); None where all do."""


def build_stage(stage: table.Stage, shape: Shape) -> nn.Module:
    """The module of a stage that reads `shape`."""
    width = shape[-1]
    match stage:
        case table.Embedding():
            return EmbeddingStage(stage.vocab_size, stage.size)
        case table.Expand():
            return ExpandStage(stage.axis, shape)
        case table.Columns():
            return ColumnsStage(stage.first, stage.count)
        case table.Conv1d():
            sizes = kernel_sizes(stage.kernel_size)
            return Conv1dStage(width, stage.filters, sizes, stage.stride, stage.padding, stage.activation)
        case table.Conv2d():
            kernel = picture_kernel(stage.kernel_size)
            return Conv2dStage(width, stage.filters, kernel, stage.stride, stage.padding, stage.activation)
        case table.LSTM():
            ways = range(1 + stage.bidirectional)
            layers = [OneBiasLSTM(width, stage.units, stage.dropout, stage.recurrent_dropout) for _ in ways]
            return RecurrentStage(layers, last=stage.output == "last")
        case table.AttentionDecoder():
            ways = range(1 + stage.bidirectional)
            return RecurrentStage([AttentionDecoder(width, stage.units, stage.output_size) for _ in ways], last=False)
        case table.Pool():
            return PoolStage(stage.reduce, stage.size)
        case table.Flatten():
            return FlattenStage()
        case table.Dense():
            return DenseStage(width, stage.units, stage.activation)
        case table.Dropout():
            return DropoutStage(stage.rate)
        case table.Norm():
            return (
                LayerNormStage(width, stage.epsilon, stage.activation)
                if stage.over == "layer"
                else BatchNormStage(width, stage.epsilon, stage.activation)
            )


class EmbeddingStage(nn.Embedding):
    def forward(self, ids: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        return super().forward(ids), mask


class ExpandStage(nn.Module):
    def __init__(self, axis: str, shape: Shape):
        super().__init__()
        # Channels come first in the pictures of torch, as the new steps of a vector do.
        self.axis = 1 if axis == "steps" or len(shape) == 2 else 2

    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        return x.unsqueeze(self.axis), None


class ColumnsStage(nn.Module):
    def __init__(self, first: int, count: int):
        super().__init__()
        self.first, self.count = first, count

    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        return x[..., self.first : self.first + self.count], mask


class Conv1dStage(StepConvolution):
    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        return super().forward(x, mask)


class Conv2dStage(PictureConvolution):
    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        return super().forward(x), None


class RecurrentStage(nn.Module):
    """An LSTM or decoder, one way or both, with its output at each step or behind the last real one."""

    def __init__(self, layers: list[nn.Module], last: bool):
        super().__init__()
        self.last = last
        self.layer = BothWays(*layers) if len(layers) == 2 else layers[0]

    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        states = self.layer(x, mask)  # (N, T, H)
        if not self.last:
            return states, mask
        if mask is None:
            end = torch.full((len(x),), x.shape[1] - 1, device=x.device)
        else:
            end = (mask.sum(1) - 1).clamp(min=0)  # (N,)
        if not isinstance(self.layer, BothWays):
            return states[torch.arange(len(x), device=x.device), end], None
        ahead, back = states.chunk(2, -1)  # the way back ends at the first step
        return torch.cat([ahead[torch.arange(len(x), device=x.device), end], back[:, 0]], -1), None


class PoolStage(nn.Module):
    def __init__(self, reduce: str, size: int | None):
        super().__init__()
        self.reduce, self.size = reduce, size

    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        steps = x.new_ones(x.shape[:2], dtype=torch.bool) if mask is None else mask
        if self.size is None:
            return self._reduced(x[:, None], steps[:, None])[:, 0], None
        x, steps = with_steps(x, steps, self.size)
        windows = x.shape[1] // self.size
        x, inside = (part[:, : windows * self.size].unflatten(1, (windows, self.size)) for part in (x, steps))
        pooled = self._reduced(x, inside)  # (N, W, D) of (N, W, S, D)
        if mask is None:
            return pooled, None
        whole = (mask.sum(1, keepdim=True) // self.size).clamp(min=1)  # (N, 1): a short utterance fills one window
        return pooled, torch.arange(windows, device=x.device) < whole

    def _reduced(self, x: Tensor, mask: Tensor) -> Tensor:
        """Maximum or mean (N, W, D) of windows x (N, W, S, D) over the steps that count, 0 where none does."""
        if self.reduce == "mean":
            return (x * mask[..., None]).sum(2) / mask.sum(2, keepdim=True).clamp(min=1)
        largest = x.masked_fill(~mask[..., None], torch.finfo(x.dtype).min).amax(2)
        return largest.masked_fill(~mask.any(2, keepdim=True), 0)


class FlattenStage(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        return (x.permute(0, 2, 3, 1) if x.ndim == 4 else x).flatten(1), None


class DenseStage(nn.Linear):
    def __init__(self, input_size: int, units: int, activation: str):
        super().__init__(input_size, units)
        self.activation = activation

    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        return ACTIVATIONS[self.activation](super().forward(x)), mask


class DropoutStage(nn.Module):
    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        return F.dropout(x, self.rate, self.training), mask


class LayerNormStage(nn.LayerNorm):
    def __init__(self, size: int, epsilon: float, activation: str):
        super().__init__(size, eps=epsilon)
        self.activation = activation

    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        return ACTIVATIONS[self.activation](super().forward(x)), mask


class BatchNormStage(MaskedBatchNorm):
    def __init__(self, size: int, epsilon: float, activation: str):
        super().__init__(size, epsilon)
        self.activation = activation

    def forward(self, x: Tensor, mask: Tensor | None, real: Tensor) -> Masked:
        counts = real
        if x.ndim == 3:
            counts = real[:, None].expand(x.shape[:2]) if mask is None else mask & real[:, None]
        return ACTIVATIONS[self.activation](super().forward(x, counts)), mask
