"""A linear layer on the outer product of modalities that are each extended by a 1 (Zadeh et al., 2017).

    y = W vec([1; x_1] ⊗ [1; x_2] ⊗ [1; x_3]) + b

The weight has one axis per modality and the output last, so that W contracts with one modality after the other and the
outer product of all of them, B times I times J times K values, never exists. On a CPU a kernel forms it piece by piece
in the cache; elsewhere, and for many rows in bfloat16, the product is re-associated in PyTorch.
"""

from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from mm_emotion.errors import BatchError
from mm_emotion.ops._library import reference_ops_wanted
from mm_emotion.ops._tensor_fusion_native import native_fusion, serves


def tensor_fusion_linear(xs: list[Tensor], weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(..., H) from two or three modalities (..., I-1), (..., J-1) and (..., K-1).

    weight: (I, J, H) or (I, J, K, H); index 0 of a modality's axis belongs to its 1. bias: (H,).
    Under autocast everything is cast to its dtype, as for a linear layer.

    Raises:
        BatchError: a tensor does not fit the weight; it names the tensor.
    """
    _check(xs, weight, bias)
    if reference_ops_wanted():
        return tensor_fusion_linear_reference(xs, weight, bias)
    outer, dtype = xs[0].shape[:-1], _computed_in(weight)
    flat = [x.reshape(prod(outer), x.shape[-1]).to(dtype) for x in xs]  # (B, I-1), (B, J-1), (B, K-1)
    weight, bias = weight.to(dtype), None if bias is None else bias.to(dtype)
    fuse = native_fusion if serves(weight, len(flat[0])) else _reassociated
    return fuse(flat, weight, bias).reshape(*outer, weight.shape[-1])


def tensor_fusion_linear_reference(xs: list[Tensor], weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The definition of `tensor_fusion_linear`: the outer product, then one linear map."""
    product = _with_one(xs[0])
    for x in xs[1:]:
        product = (product[..., None] * _with_one(x)[..., None, :]).flatten(-2)
    return F.linear(product, weight.flatten(0, -2).T, bias)


def _computed_in(weight: Tensor) -> torch.dtype:
    device = weight.device.type
    if torch.is_autocast_enabled(device) and weight.dtype != torch.float64:
        return torch.get_autocast_dtype(device)
    return weight.dtype


def _reassociated(xs: list[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    """The weight contracts with all modalities but the last in one product, then with the last."""
    *sizes, last, outputs = weight.shape
    flat = [_with_one(x) for x in xs]  # (B, I), (B, J), (B, K)
    product = flat[0]
    if len(flat) == 3:
        product = (flat[0][:, :, None] * flat[1][:, None]).flatten(1)  # (B, I*J)
    mixed = product @ weight.reshape(prod(sizes), last * outputs)  # (B, K*H)
    fused = torch.bmm(flat[-1][:, None], mixed.unflatten(1, (last, outputs)))[:, 0]  # (B, H)
    return fused if bias is None else fused + bias


def _with_one(x: Tensor) -> Tensor:
    return F.pad(x, (1, 0), value=1.0)


def _check(xs: list[Tensor], weight: Tensor, bias: Tensor | None) -> None:
    if len(xs) not in (2, 3):
        raise BatchError("xs", "two or three modalities", len(xs))
    if weight.dim() != len(xs) + 1:
        raise BatchError("weight", f"{len(xs) + 1} axes for {len(xs)} modalities", tuple(weight.shape))
    if not weight.is_floating_point():
        raise BatchError("weight", "a floating point dtype", weight.dtype)
    outer, device = xs[0].shape[:-1], weight.device
    given = [(f"xs[{index}]", x, (*outer, weight.shape[index] - 1)) for index, x in enumerate(xs)]
    if bias is not None:
        given.append(("bias", bias, weight.shape[-1:]))
    for name, tensor, shape in given:
        if tensor.shape != shape:
            raise BatchError(name, f"shape {tuple(shape)}", tuple(tensor.shape))
        if tensor.dtype != weight.dtype and not torch.is_autocast_enabled(device.type):
            raise BatchError(name, weight.dtype, tensor.dtype)
        if tensor.device != device:
            raise BatchError(name, f"device {device}", tensor.device)
