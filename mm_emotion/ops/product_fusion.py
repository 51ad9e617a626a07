"""The product rule for independent experts, in log space (Kittler et al., 1998).

With posteriors p_m of the modalities present, weights w_m >= 0 and a class prior,

    log p(c) = sum_m w_m log p_m(c) - (sum_m w_m - 1) log prior(c) + constant,

normalised over the classes. A class that any present modality of weight above 0, or the prior, rules out (-inf) stays
ruled out; where that leaves no class, and where there is no modality and no prior, all classes are equally likely.
"""

import math

import torch
from torch import Tensor

from mm_emotion.errors import BatchError
from mm_emotion.ops._library import has_kernel, kernel_devices, no_second_derivative

MOST_MODALITIES = 8


def product_fusion(
    log_probs: Tensor, weights: Tensor, log_prior: Tensor | None = None, modality_mask: Tensor | None = None
) -> Tensor:
    """Log posterior (..., C) of the product of the modalities' log posteriors (..., M, C), M <= 8.

    weights: (M,) not negative. log_prior: (C,), without gradient. modality_mask: (..., M) bool, True = present.
    An unnormalised `log_probs` gives the same result as a normalised one; +inf, which is no log probability, NaN.

    Raises:
        BatchError: a tensor does not fit `log_probs`; it names the tensor.
    """
    _check(log_probs, weights, log_prior, modality_mask)
    if has_kernel(log_probs):
        prior = None if log_prior is None else log_prior.detach()
        return torch.ops.mm_emotion.product_fusion(log_probs, weights, prior, modality_mask)
    return product_fusion_reference(log_probs, weights, log_prior, modality_mask)


def product_fusion_reference(
    log_probs: Tensor, weights: Tensor, log_prior: Tensor | None = None, modality_mask: Tensor | None = None
) -> Tensor:
    """The definition of `product_fusion` under autograd."""
    wide = torch.promote_types(log_probs.dtype, torch.float32)
    values, weight = log_probs.to(wide), weights.to(wide).expand(log_probs.shape[:-1])  # (..., M, C), (..., M)
    if modality_mask is not None:
        weight = weight * modality_mask
    ruled_out = torch.isneginf(values)
    excluded = (ruled_out & (weight != 0)[..., None]).any(-2)  # (..., C)
    total = (weight[..., None] * values.masked_fill(ruled_out, 0)).sum(-2)
    if log_prior is not None:
        prior = log_prior.detach().to(wide)
        excluded = excluded | torch.isneginf(prior)
        total = total - (weight.sum(-1, keepdim=True) - 1) * prior.masked_fill(torch.isneginf(prior), 0)
    none_left = excluded.all(-1, keepdim=True)
    # log_softmax of nothing but -inf is NaN, and so would be its gradient.
    result = total.masked_fill(excluded, -math.inf).masked_fill(none_left, 0).log_softmax(-1)
    # Filled again so that a class ruled out carries no gradient.
    return result.masked_fill(excluded & ~none_left, -math.inf).to(log_probs.dtype)


def _check(log_probs: Tensor, weights: Tensor, log_prior: Tensor | None, modality_mask: Tensor | None) -> None:
    if log_probs.dim() < 2 or not 1 <= log_probs.shape[-2] <= MOST_MODALITIES or log_probs.shape[-1] < 1:
        raise BatchError("log_probs", f"shape (..., M, C) with 1 <= M <= {MOST_MODALITIES}", tuple(log_probs.shape))
    if log_probs.dtype not in (torch.float32, torch.float64, torch.bfloat16):
        raise BatchError("log_probs", "float32, float64 or bfloat16", log_probs.dtype)
    *outer, modalities, classes = log_probs.shape
    expected = [("weights", weights, (modalities,), log_probs.dtype)]
    if log_prior is not None:
        expected.append(("log_prior", log_prior, (classes,), log_probs.dtype))
    if modality_mask is not None:
        expected.append(("modality_mask", modality_mask, (*outer, modalities), torch.bool))
    for name, tensor, shape, dtype in expected:
        if tensor.shape != shape:
            raise BatchError(name, f"shape {tuple(shape)}", tuple(tensor.shape))
        if tensor.dtype != dtype:
            raise BatchError(name, dtype, tensor.dtype)
        if tensor.device != log_probs.device:
            raise BatchError(name, f"device {log_probs.device}", tensor.device)


def _save(ctx, inputs, output):
    log_probs, weights, log_prior, modality_mask = inputs
    ctx.save_for_backward(log_probs, weights, log_prior, modality_mask)


def _backward(ctx, d_out):
    d_log_probs, d_weights = torch.ops.mm_emotion.product_fusion_backward(d_out, *ctx.saved_tensors)
    return d_log_probs, d_weights, None, None


def _register() -> None:
    @torch.library.register_fake("mm_emotion::product_fusion")
    def _(log_probs, weights, log_prior, modality_mask):
        return log_probs.new_empty((*log_probs.shape[:-2], log_probs.shape[-1]))

    @torch.library.register_fake("mm_emotion::product_fusion_backward")
    def _(d_out, log_probs, weights, log_prior, modality_mask):
        return log_probs.new_empty(log_probs.shape), weights.new_empty(weights.shape)

    torch.library.register_autograd("mm_emotion::product_fusion", _backward, setup_context=_save)
    torch.library.register_autograd("mm_emotion::product_fusion_backward", no_second_derivative)
    for device in kernel_devices():
        torch.library.register_autocast("mm_emotion::product_fusion", device, torch.float32)


if kernel_devices():
    _register()
