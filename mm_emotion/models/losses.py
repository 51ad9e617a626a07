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
    if loss.startswith("ccc"):
        if loss == "ccc_per_recording":
            return _concordance_per_recording(output, target, valid)
        return _concordance(output, target, valid, loss == "ccc_avec2018")
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


def _concordance(output: Tensor, target: Tensor, valid: Tensor, avec2018: bool) -> tuple[Tensor, Tensor]:
    """1 - CCC of each dimension over the batch, weighted by its number of valid targets.

    Moments are the population's; with `avec2018` variances are those of a sample, as that challenge's scorer has them.
    """
    concordance, count, _ = _concordance_over((0, 1), output, target, valid, avec2018)  # (1, 1, K)
    return ((1 - concordance) * count).sum(), count.sum()


def _concordance_per_recording(output: Tensor, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """1 - CCC of each dimension of each recording (dialogue), and how many of those have a varying side."""
    concordance, _, defined = _concordance_over((1,), output, target, valid, False)  # (B, 1, K)
    return torch.where(defined, 1 - concordance, 0).sum(), defined.sum().to(output.dtype)


def _concordance_over(
    axes: tuple[int, ...], output: Tensor, target: Tensor, valid: Tensor, avec2018: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """CCC over the `axes` of (B, U, K), which stay with size 1; the number of targets; whether either side varies."""
    count = valid.sum(axes, keepdim=True).to(output.dtype)
    divisor = count.clamp(min=1)
    means = [side.sum(axes, keepdim=True) / divisor for side in (output, target)]
    centred = [torch.where(valid, side - mean, 0) for side, mean in zip((output, target), means, strict=True)]
    covariance = (centred[0] * centred[1]).sum(axes, keepdim=True) / divisor
    variances = (centred[0].square() + centred[1].square()).sum(axes, keepdim=True) / divisor
    corrected = variances * count / (count - 1).clamp(min=1) if avec2018 else variances
    spread = corrected + (means[0] - means[1]).square()
    concordance = 2 * covariance / spread.clamp(min=torch.finfo(output.dtype).eps)
    return concordance, count, variances.detach() > 0
