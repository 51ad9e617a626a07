"""The fused outer product on a CUDA device against its definition in double precision on the CPU."""

import pytest
import torch

from mm_emotion.ops import kernel_devices
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear, tensor_fusion_linear_reference

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not torch.cuda.is_available() or "cuda" not in kernel_devices(),
        reason="needs a GPU, CUDA kernels and MM_EMOTION_CUDA=1",
    ),
]

LIMITS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}
CASES = [
    ((3,), (4, 2, 3), 5),
    ((3,), (4, 2), 5),
    ((2, 3), (4, 2, 3), 5),
    ((0,), (4, 2, 3), 5),
    ((1,), (0, 0, 0), 1),
    ((8,), (32, 16, 16), 64),
    ((9,), (32, 16, 16), 64),
    ((31,), (31, 17, 5), 130),  # the largest batch of the kernels in half precision
    ((32,), (31, 17, 5), 130),
    ((33,), (31, 17, 5), 130),
    ((255,), (16, 8, 8), 128),  # the largest batch of the kernels
    ((256,), (16, 8, 8), 128),  # the smallest of the matrix products
    ((300,), (16, 8), 20),
    ((5,), (3, 2, 200), 12),  # a pair has more rows than a tile
    ((5,), (2, 1, 3000), 4),  # the last modality does not fit into shared memory
    ((32,), (128, 32, 32), 128),
]


def distance(found, expected):
    """Relative error against a result in double precision on the CPU."""
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    error = (found.detach().cpu().double() - expected.detach()).norm()
    return (error / expected.detach().norm().clamp(min=1e-30)).item()


def make(outer, sizes, outputs, dtype):
    chance = torch.Generator().manual_seed(sum(sizes))

    def leaf(*shape):
        values = torch.randn(*shape, generator=chance, dtype=torch.float64)
        return values.to(dtype).cuda().requires_grad_()

    weight = leaf(*(size + 1 for size in sizes), outputs)
    return [leaf(*outer, size) for size in sizes], weight, leaf(outputs)


@pytest.fixture(autouse=True)
def strict_products():
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(("outer", "sizes", "outputs"), CASES)
def test_values_and_gradients(outer, sizes, outputs, dtype):
    xs, weight, bias = make(outer, sizes, outputs, dtype)
    leaves = [*xs, weight, bias]
    exact = [leaf.detach().cpu().double().requires_grad_() for leaf in leaves]
    out = tensor_fusion_linear(xs, weight, bias)
    expected = tensor_fusion_linear_reference(exact[: len(xs)], exact[-2], exact[-1])
    assert distance(out, expected) < LIMITS[dtype]
    assert distance(tensor_fusion_linear(xs, weight), expected - exact[-1]) < LIMITS[dtype]
    direction = torch.randn(out.shape, dtype=torch.float64).to(dtype)
    found = torch.autograd.grad(out, leaves, direction.cuda())
    for one, other in zip(found, torch.autograd.grad(expected, exact, direction.double()), strict=True):
        assert distance(one, other) < LIMITS[dtype]


@pytest.mark.parametrize("batch", [5, 300])
def test_only_what_is_asked_for(batch):
    xs, weight, bias = make((batch,), (6, 5, 4), 7, torch.float64)
    leaves = [*xs, weight]
    out = tensor_fusion_linear(xs, weight, bias).square().sum()
    wanted = torch.autograd.grad(out, leaves)
    for index, leaf in enumerate(leaves):
        given = [other if other is leaf else other.detach() for other in leaves]
        out = tensor_fusion_linear(given[:3], given[3], bias.detach()).square().sum()
        (found,) = torch.autograd.grad(out, [leaf])
        torch.testing.assert_close(found, wanted[index])


def test_the_outer_product_never_exists():
    xs, weight, bias = make((32,), (128, 32, 32), 128, torch.float32)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    tensor_fusion_linear(xs, weight, bias).sum().backward()
    extra = torch.cuda.max_memory_allocated() - before - weight.numel() * 4
    assert extra < 32 * 129 * 33 * 33 * 4
