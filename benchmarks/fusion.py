"""Contenders for a linear layer on the outer product of three modalities."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import cycle

import graphs
import memory
import onednn
import torch
import torch.nn.functional as F
from machine import DTYPES
from timing import Case, Contender, Contest, agree
from torch import Tensor

from mm_emotion.ops import kernel_devices, use_reference_ops
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear

SIZES, OUTPUTS = (128, 32, 32), 128


def cases(device: str) -> Iterator[Case]:
    """128/32/32 -> 128 at three batch sizes."""
    for dtype in DTYPES if device == "cuda" else ("float32",):
        for batch in (32, 256, 1024):
            for direction in ("forward", "forward+backward"):
                yield case(batch, direction, dtype=dtype, device=device)


def case(
    batch: int, direction: str, sizes: tuple[int, ...] = SIZES, dtype: str = "float32", device: str = "cpu"
) -> Case:
    """One case; its first contender writes the outer product down."""
    passes = 3 if direction == "forward+backward" else 1
    weights = OUTPUTS
    for size in sizes:
        weights *= size + 1
    held = weights * DTYPES[dtype].itemsize  # of which the gradient is another such matrix
    return Case(
        "tensor_fusion_linear",
        f"B{batch} {'/'.join(map(str, sizes))} -> {OUTPUTS}",
        direction,
        partial(contest, batch, direction, sizes, dtype, device),
        2.0 * batch * weights * passes,
        (held * passes, held * (2 if passes == 3 else 1)),
        dtype,
        device,
        partial(memory.of_fusion, batch, direction),
    )


def contest(batch: int, direction: str, sizes: tuple[int, ...], dtype: str, device: str) -> Contest:
    """The contenders of one case; each gives the output and, backward, the gradient of every tensor."""
    backward, generator = direction == "forward+backward", torch.Generator().manual_seed(0)
    target = {"device": device, "dtype": DTYPES[dtype]}

    def random(*shape: int, scale: float = 0.3) -> Tensor:
        return torch.randn(*shape, generator=generator).mul_(scale).to(**target)

    xs = [random(batch, size).requires_grad_() for size in sizes]
    d_out = random(batch, OUTPUTS)
    weight = random(*(size + 1 for size in sizes), OUTPUTS, scale=0.003)
    # On a GPU enough copies in turn that none is still in its cache.
    cached = torch.cuda.get_device_properties(0).L2_cache_size if device == "cuda" else 0
    weights = [weight.clone().requires_grad_() for _ in range(1 + 3 * cached // weight.nbytes)]

    def with_weight(function: Callable, weight: Tensor) -> Contender:
        def run():
            with torch.set_grad_enabled(backward):
                out = function(xs, weight)
                if not backward:
                    return (out,)
                return out.detach(), *torch.autograd.grad(out, [*xs, weight], d_out)

        return run

    def graphed(function: Callable, weight: Tensor) -> Contender:
        return graphs.graphed(with_weight(function, weight))

    def in_turn(wrap: Callable, function: Callable) -> Contender:
        turns = cycle([wrap(function, weight) for weight in weights])
        return lambda: next(turns)()

    functions = {
        "outer product + linear": defined,
        f"re-associated, {onednn.blas(device)}": reassociated,
    }
    if device == "cpu" and onednn.available():
        functions["re-associated, oneDNN"] = partial(reassociated, product=onednn.Product.apply)
    contenders = {name: in_turn(with_weight, function) for name, function in functions.items()}
    if device == "cuda":
        contenders |= {f"{name}, graphed": in_turn(graphed, function) for name, function in functions.items()}
    contenders["ours"] = in_turn(with_weight, tensor_fusion_linear)
    left_out = {}
    if device not in kernel_devices():
        left_out["native kernel"] = f"none for {device} in this build: ours is the re-associated product"
    return Contest(contenders, partial(agree, dtype=dtype), left_out)


def defined(xs: list[Tensor], weight: Tensor) -> Tensor:
    """By the definition: the outer product, then one linear map."""
    with use_reference_ops():
        return tensor_fusion_linear(xs, weight)


def reassociated(xs: list[Tensor], weight: Tensor, product: Callable = torch.mm) -> Tensor:
    """Two modalities' outer product times the weight as one matrix product, then the third."""
    x, y, z = (F.pad(x, (1, 0), value=1.0) for x in xs)
    mixed = product((x[:, :, None] * y[:, None]).flatten(1), weight.flatten(0, 1).flatten(1))  # (B, K*H)
    return torch.bmm(z[:, None], mixed.unflatten(1, (z.shape[1], -1)))[:, 0]
