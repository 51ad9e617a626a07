"""Convolutions over steps and over pictures with the paddings and the activations of Keras."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Padding = Literal["valid", "same"]
Activation = Literal["linear", "relu", "tanh"]
ACTIVATIONS = {"linear": lambda x: x, "relu": F.relu, "tanh": torch.tanh}


def same_padding(size: int | None, kernel_size: int, stride: int = 1) -> tuple[int, int]:
    """Zeros before and after `size` steps so that ceil(size / stride) windows fit; as in Keras, the odd one is behind.

    At stride 1 they are the same for every size, which may then be None.
    """
    windows_reach = 0 if stride == 1 else (-(-size // stride) - 1) * stride + 1 - size
    around = max(windows_reach + kernel_size - 1, 0)
    return around // 2, around - around // 2


def convolved_size(size: int, kernel_size: int, stride: int, padding: Padding) -> int:
    """Number of windows over `size` steps, 0 where none fits."""
    return -(-size // stride) if padding == "same" else max((size - kernel_size) // stride + 1, 0)


class StepConvolution(nn.Module):
    """One or several convolutions over time, their maps side by side, with an activation.

    Several widths read the same steps and so need padding "same"; the zeros of "same" stand around the padded sequence,
    so that with ragged lengths a stride of 1 is the only one that does not depend on the padding.
    """

    def __init__(
        self,
        input_size: int,
        filters: int,
        kernel_sizes: list[int],
        stride: int = 1,
        padding: Padding = "valid",
        activation: Activation = "linear",
    ):
        super().__init__()
        self.stride, self.padding, self.activation = stride, padding, activation
        self.convolutions = nn.ModuleList(nn.Conv1d(input_size, filters, size, stride) for size in kernel_sizes)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Maps (N, T', F) of x (N, T, D), and which of them are of the real steps, (N, T').

        Without padding, sequences shorter than a window count as one window, of zeros behind the real steps.
        """
        widest = max(convolution.kernel_size[0] for convolution in self.convolutions)
        if self.padding == "valid":
            x, mask = with_steps(x, mask, widest)
        x = x.mT  # (N, D, T)
        maps = torch.cat([convolution(self._around(x, convolution)) for convolution in self.convolutions], 1)
        maps = ACTIVATIONS[self.activation](maps).mT  # (N, T', F)
        if mask is None:
            return maps, None
        lengths = mask.sum(1, keepdim=True)  # (N, 1)
        if self.padding == "valid":
            lengths = ((lengths - widest) // self.stride + 1).clamp(min=1)
        else:
            lengths = (lengths + self.stride - 1) // self.stride
        return maps, torch.arange(maps.shape[1], device=maps.device) < lengths

    def _around(self, x: Tensor, convolution: nn.Conv1d) -> Tensor:
        if self.padding == "valid":
            return x
        return F.pad(x, same_padding(x.shape[2], convolution.kernel_size[0], self.stride))


class PictureConvolution(nn.Module):
    """A convolution over rows and columns with an activation, (N, C, Y, X) to (N, F, Y', X')."""

    def __init__(
        self,
        channels: int,
        filters: int,
        kernel_size: list[int],
        stride: int = 1,
        padding: Padding = "valid",
        activation: Activation = "linear",
    ):
        super().__init__()
        self.padding, self.activation = padding, activation
        self.convolution = nn.Conv2d(channels, filters, tuple(kernel_size), stride)

    def forward(self, x: Tensor) -> Tensor:
        if self.padding == "same":
            height, width = self.convolution.kernel_size
            rows, columns = (
                same_padding(size, kernel, self.convolution.stride[0])
                for size, kernel in ((x.shape[2], height), (x.shape[3], width))
            )
            x = F.pad(x, (*columns, *rows))
        return ACTIVATIONS[self.activation](self.convolution(x))


def with_steps(x: Tensor, mask: Tensor | None, least: int) -> tuple[Tensor, Tensor | None]:
    """Steps (N, T, D) and mask (N, T), lengthened on the right to `least` steps of zeros that do not count."""
    missing = max(least - x.shape[1], 0)
    return F.pad(x, (0, 0, 0, missing)), mask if mask is None else F.pad(mask, (0, missing))
