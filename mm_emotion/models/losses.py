"""Masked losses as a numerator and a denominator, so that batches split over processes add up exactly."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mm_emotion.schema import IGNORE_INDEX


def loss_terms(
    logits: Tensor, labels: Tensor, utterance_mask: Tensor, loss: str, class_weights: list[float] | None = None
) -> tuple[Tensor, Tensor]:
    """Numerator and denominator of `loss` over the valid targets; both are 0 where there are none.

    `logits` is (B, U, K), `labels` (B, U) with `IGNORE_INDEX`, or (B, U, K) with NaN where a value is missing,
    `utterance_mask` (B, U). With class weights the denominator is the summed weight of the valid targets.
    """
    logits = logits.float() if logits.dtype in (torch.bfloat16, torch.float16) else logits
    if loss == "cross_entropy":
        return _cross_entropy(logits, labels, utterance_mask, class_weights)
    valid = utterance_mask[..., None] & ~labels.isnan()  # (B, U, K)
    # Both sides are replaced before the difference: a NaN would survive a mask in the backward pass.
    target, output = torch.where(valid, labels, 0).to(logits.dtype), torch.where(valid, logits, 0)
    if loss == "ccc":
        return _concordance(output, target, valid)
    error = output - target
    return (error.square() if loss == "mse" else error.abs()).sum(), valid.sum().to(logits.dtype)


def _cross_entropy(
    logits: Tensor, labels: Tensor, utterance_mask: Tensor, class_weights: list[float] | None
) -> tuple[Tensor, Tensor]:
    labels = torch.where(utterance_mask, labels, IGNORE_INDEX)  # (B, U)
    valid = labels != IGNORE_INDEX
    weight = logits.new_ones(logits.shape[-1]) if class_weights is None else logits.new_tensor(class_weights)
    numerator = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), weight, reduction="sum")
    return numerator, (weight[labels.clamp(min=0)] * valid).sum()


def _concordance(output: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """1 - CCC of each dimension over the batch (population moments), weighted by its number of valid targets."""
    count = valid.sum((0, 1)).to(output.dtype)  # (K,)
    divisor = count.clamp(min=1)
    means = output.sum((0, 1)) / divisor, target.sum((0, 1)) / divisor
    centred = torch.where(valid, output - means[0], 0), torch.where(valid, target - means[1], 0)  # (B, U, K)
    covariance = (centred[0] * centred[1]).sum((0, 1)) / divisor
    spread = (centred[0].square() + centred[1].square()).sum((0, 1)) / divisor + (means[0] - means[1]).square()
    concordance = 2 * covariance / spread.clamp(min=torch.finfo(output.dtype).eps)
    return ((1 - concordance) * count).sum(), count.sum()
