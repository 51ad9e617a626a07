"""Contenders for the product of experts in log space."""

from collections.abc import Callable, Iterator
from functools import partial

import graphs
import torch
from machine import DTYPES
from timing import Case, Contender, Contest, agree
from torch import Tensor

from mm_emotion.ops import kernel_devices, use_reference_ops
from mm_emotion.ops.product_fusion import product_fusion


def cases(device: str) -> Iterator[Case]:
    """A million rows of three posteriors over seven classes."""
    for dtype in DTYPES if device == "cuda" else ("float32",):
        for direction in ("forward", "forward+backward"):
            yield case(1_000_000, direction, dtype=dtype, device=device)


def case(rows: int, direction: str, dtype: str = "float32", device: str = "cpu") -> Case:
    """One case; its first contender is what one would write in PyTorch."""
    # Forward reads three values for each that it writes; backward reads those and a gradient, and writes three.
    moved = rows * 7 * DTYPES[dtype].itemsize * (4 + (7 if direction == "forward+backward" else 0))
    flops = 10.0 * rows * 21 * (3 if direction == "forward+backward" else 1)
    build = partial(contest, rows, direction, dtype, device)
    return Case("product_fusion", f"{rows} x 3 x 7", direction, build, flops, (moved, moved), dtype, device)


def contest(rows: int, direction: str, dtype: str, device: str) -> Contest:
    """The contenders of one case; each gives the posterior and, backward, the gradients of both arguments."""
    backward, generator = direction == "forward+backward", torch.Generator().manual_seed(0)
    target = {"device": device, "dtype": DTYPES[dtype]}
    log_probs = torch.randn(rows, 3, 7, generator=generator).log_softmax(-1).to(**target).requires_grad_()
    d_out = torch.randn(rows, 7, generator=generator).to(**target)
    weights = torch.tensor([0.5, 1.0, 1.5]).to(**target).requires_grad_()

    def contender(function: Callable[[Tensor, Tensor], Tensor]) -> Contender:
        def run():
            with torch.set_grad_enabled(backward):
                out = function(log_probs, weights)
                if not backward:
                    return (out,)
                return out.detach(), *torch.autograd.grad(out, [log_probs, weights], d_out)

        return run

    contenders = {"PyTorch": contender(plain), "definition": contender(defined)}
    left_out = {}
    if device == "cuda":
        graphs.add_graphed(contenders, left_out, list(contenders))
    if device in kernel_devices():
        contenders["ours"] = contender(product_fusion)
    else:
        left_out["ours"] = f"no native kernel for {device} in this build: the definition is what runs"
    return Contest(contenders, partial(agree, dtype=dtype), left_out)


def plain(log_probs: Tensor, weights: Tensor) -> Tensor:
    """Without the rules for classes ruled out."""
    return (weights[:, None] * log_probs).sum(-2).log_softmax(-1)


def defined(log_probs: Tensor, weights: Tensor) -> Tensor:
    """By the definition, which has them."""
    with use_reference_ops():
        return product_fusion(log_probs, weights)
