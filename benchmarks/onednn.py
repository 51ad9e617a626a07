"""Matrix products by oneDNN where PyTorch would ask its BLAS, which may not be made for the machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

import torch
from torch import Tensor


def available() -> bool:
    """Whether this PyTorch can hand a float32 product on a CPU to oneDNN."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def blas(device: str) -> str:
    """Whose matrix products PyTorch uses by itself."""
    return "cuBLAS" if device == "cuda" else "MKL" if torch.backends.mkl.is_available() else "BLAS"


def product(a: Tensor, b: Tensor) -> Tensor:
    """a (M, K) times b (K, N); not differentiable."""
    # For a view into wider rows, or a turned left side, oneDNN falls back to a plain loop.
    a = a.contiguous()
    b = b if b.is_contiguous() or b.T.is_contiguous() else b.contiguous()
    return torch.ops.mkldnn._linear_pointwise(a, b.T, None, "none", [], "")


class Product(torch.autograd.Function):
    """`product` with its gradients."""

    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return product(a, b)

    @staticmethod
    def backward(ctx, d_out):
        a, b = ctx.saved_tensors
        return product(d_out, b.T), product(a.T, d_out)


@contextmanager
def instead_of_blas() -> Iterator[None]:
    """Within this context the matrix products of plain code without autograd are oneDNN's."""
    # Exchanged by name: a TorchFunctionMode would see every other call as well, and cost more than the products.
    with (
        patch.object(torch, "mm", product),
        patch.object(Tensor, "__matmul__", product),
        patch.object(torch, "addmm", lambda bias, a, b: product(a, b).add_(bias)),
        patch.object(Tensor, "addmm_", lambda out, a, b: out.add_(product(a, b))),
    ):
        yield
