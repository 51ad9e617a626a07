"""Contenders for the fused outer product and for the product rule."""

from collections.abc import Callable, Iterator

import torch
from timing import Case
from torch import Tensor

from mm_emotion.ops._library import kernel_devices
from mm_emotion.ops.product_fusion import product_fusion, product_fusion_reference
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear, tensor_fusion_linear_reference


def cases() -> Iterator[Case]:
    """Tensor fusion 128/32/32 -> 128 at three batch sizes, and the product of three posteriors over 7 classes."""
    for batch in (32, 256, 1024):
        for backward in (False, True):
            yield outer_product(batch, backward)
    for backward in (False, True):
        yield product_rule(100_000, backward)


def timed(function: Callable[[], Tensor], leaves: list[Tensor], backward: bool) -> Callable[[], tuple[Tensor, ...]]:
    """A contender that also differentiates by `leaves` where wanted."""

    def run():
        with torch.set_grad_enabled(backward):
            out = function()
        return (out.detach(), *torch.autograd.grad(out.square().sum(), leaves)) if backward else (out,)

    return run


def same(results: dict[str, object]) -> None:
    """Every contender's results are those of the first but for rounding."""
    expected, *others = results.values()
    for other in others:
        torch.testing.assert_close(other, expected, atol=2e-3, rtol=2e-3)


def outer_product(batch: int, backward: bool) -> Case:
    generator = torch.Generator().manual_seed(0)
    sizes, outputs = (128, 32, 32), 128
    xs = [torch.randn(batch, size, generator=generator).mul_(0.3).requires_grad_() for size in sizes]
    weight = torch.randn(*(size + 1 for size in sizes), outputs, generator=generator).mul_(0.003).requires_grad_()
    functions = {
        "outer product + linear": tensor_fusion_linear_reference,
        "tensor_fusion_linear": tensor_fusion_linear,
    }
    contenders = {
        name: timed(lambda function=function: function(xs, weight), [*xs, weight], backward)
        for name, function in functions.items()
    }
    direction = "forward+backward" if backward else "forward"
    shape = f"B{batch} 128/32/32 -> 128"
    flops = 2.0 * batch * weight.numel() * (3 if backward else 1)
    return Case("tensor_fusion_linear", shape, direction, contenders, same, flops)


def product_rule(rows: int, backward: bool) -> Case:
    generator = torch.Generator().manual_seed(0)
    log_probs = torch.randn(rows, 3, 7, generator=generator).log_softmax(-1).requires_grad_()
    weights = torch.ones(3, requires_grad=True)
    functions = {"PyTorch": product_fusion_reference}
    if "cpu" in kernel_devices():
        functions["native"] = product_fusion
    contenders = {
        name: timed(lambda function=function: function(log_probs, weights), [log_probs, weights], backward)
        for name, function in functions.items()
    }

    def check(results: dict[str, object]) -> None:
        # The last result is a sum over all rows.
        same({name: [*result[:2], *(total / rows for total in result[2:])] for name, result in results.items()})

    direction = "forward+backward" if backward else "forward"
    return Case("product_fusion", f"{rows} x 3 x 7", direction, contenders, check, 10.0 * rows * 21)
