"""Small mask arithmetic that both the ops and the layers above them need."""

import torch
from torch import Tensor


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax of `scores` over the last axis where `mask` is True, exactly 0 elsewhere; a row without any is all 0."""
    # The smallest finite number, not -inf: a row without any True would give NaN, and NaN gradients with it.
    return scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(-1) * mask


def reading_order(lengths: Tensor, size: int, backward: bool) -> Tensor:
    """Position read at each step, (B, size) int64; `backward` reverses the first `lengths` (B,), not the padding.

    The map is its own inverse, so it also carries results back to their positions.
    """
    steps = torch.arange(size, device=lengths.device).expand(len(lengths), -1)  # (B, U)
    return torch.where(steps < lengths[:, None], lengths[:, None] - 1 - steps, steps) if backward else steps
