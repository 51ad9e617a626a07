"""Batch normalisation that padding has no part in."""

import torch
from torch import Tensor, nn


class MaskedBatchNorm(nn.BatchNorm1d):
    """Batch normalisation of the vectors that count; epsilon and momentum as in Keras unless given.

    `momentum` is the share of the old moving average, as Keras has it. In training a batch with fewer than two vectors
    has no variance and is normalised by the moving averages.
    """

    def __init__(self, size: int, epsilon: float = 1e-3, momentum: float = 0.99):
        super().__init__(size, eps=epsilon, momentum=1 - momentum)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Normalised x (..., D); vectors that are False in `mask` (...) take no part and become 0."""
        mask = torch.ones(x.shape[:-1], dtype=torch.bool, device=x.device) if mask is None else mask
        real = x[mask]  # (N, D)
        if self.training and len(real) < 2:
            scale = self.weight * torch.rsqrt(self.running_var + self.eps)
            return torch.where(mask[..., None], (x - self.running_mean) * scale + self.bias, 0)
        return torch.zeros_like(x).masked_scatter(mask[..., None], super().forward(real).to(x.dtype))
