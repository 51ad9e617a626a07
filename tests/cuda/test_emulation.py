"""The CUDA ops of the fusions on a CPU: every block and thread of their kernels, in random order, memory poisoned."""

import ctypes
import shutil
import subprocess
from math import inf
from pathlib import Path

import pytest
import torch
from torch.utils.cpp_extension import include_paths, library_paths

from mm_emotion.ops.product_fusion import product_fusion_reference
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear_reference

FOLDER = Path(__file__).parent
LIMITS = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-2}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The ops as torch.ops.mm_emotion_emulated."""
    if shutil.which("g++") is None:
        pytest.skip("the emulation is compiled with g++, which is not here")
    path = tmp_path_factory.mktemp("emulation") / "ops.so"
    flags = ["-std=c++20", "-O1", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-fPIC", "-shared"]
    flags += ["-fvisibility=hidden", "-DTORCH_TARGET_VERSION=0x020b000000000000"]
    flags += [f"-I{path}" for path in include_paths()]
    libraries = [*(f"-L{folder}" for folder in library_paths()), "-ltorch", "-ltorch_cpu", "-lc10"]
    command = ["g++", *flags, str(FOLDER / "emulated_ops.cpp"), "-o", str(path), *libraries]
    subprocess.run(command, check=True)
    torch.ops.load_library(path)
    return ctypes.CDLL(str(path))


@pytest.fixture
def ops(library):
    """Fresh memory is NaN."""
    torch.use_deterministic_algorithms(True)
    yield torch.ops.mm_emotion_emulated
    torch.use_deterministic_algorithms(False)


def distance(found, expected):
    assert found.shape == expected.shape
    return ((found.double() - expected).norm() / expected.norm().clamp(min=1e-30)).item()


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_division_by_multiplication(library):
    library.divide.restype = ctypes.c_uint32
    for divisor in (1, 2, 3, 7, 33, 129, 641, 65535, 65537, 2**30 + 1, 2**31 - 1):
        for number in {0, 1, divisor - 1, divisor, divisor + 1, 17 * divisor - 1, 17 * divisor, 2**31 - 2, 2**31 - 1}:
            if number < 2**31:
                assert library.divide(number, divisor) == number // divisor


def product_arguments(rows, modalities, classes, dtype, prior, mask, ruled_out):
    chance = torch.Generator().manual_seed(rows + classes)
    logits = random(rows, modalities, classes).log_softmax(-1)
    logits = logits.masked_fill(torch.rand(logits.shape, generator=chance) < ruled_out, -inf)
    weights = torch.rand(modalities, generator=chance, dtype=torch.float64)
    weights[0] = 0 if ruled_out else weights[0]
    return (
        logits.to(dtype),
        weights.to(dtype),
        random(classes, seed=1).log_softmax(-1).to(dtype) if prior else None,
        torch.rand(rows, modalities, generator=chance) < 0.7 if mask else None,
    )


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(
    ("rows", "modalities", "classes", "prior", "mask", "ruled_out"),
    [
        (131, 3, 7, True, True, 0.0),
        (300, 2, 4, False, True, 0.4),
        (128, 8, 1, True, False, 0.0),
        (5, 1, 6, True, True, 0.4),
        (9, 8, 37, False, True, 0.1),
        (6, 3, 130, True, False, 0.2),
        (0, 2, 3, True, True, 0.0),
    ],
)
def test_product_fusion(ops, dtype, rows, modalities, classes, prior, mask, ruled_out):
    given = product_arguments(rows, modalities, classes, dtype, prior, mask, ruled_out)
    exact = [tensor.double() if tensor is not None and tensor.is_floating_point() else tensor for tensor in given]
    leaves = [leaf.requires_grad_() for leaf in exact[:2]]
    expected = product_fusion_reference(*exact)
    real = torch.isfinite(expected)
    d_out = torch.where(real, random(rows, classes, seed=2).to(dtype), 0)
    wanted = torch.autograd.grad(torch.where(real, expected, 0), leaves, d_out.double())
    out = ops.product_fusion(*given)
    assert torch.equal(torch.isneginf(out), ~real)
    found = [torch.where(real, out, 0), *ops.product_fusion_backward(d_out, *given)]
    for one, other in zip(found, [torch.where(real, expected, 0).detach(), *wanted], strict=True):
        assert distance(one, other) < 3 * LIMITS[dtype]


TENSOR_CASES = [
    (3, (4, 2, 3), 5),
    (33, (5, 4, 7), 130),
    (9, (6, 5), 16),
    (1, (3, 3, 3), 8),
    (40, (2, 1, 140), 12),  # a pair has more rows than a tile
    (7, (11, 3, 0), 3),
    (0, (2, 2, 2), 4),
    (256, (3, 2, 4), 5),  # by matrix products
    (257, (3, 4), 6),
    (2, (1, 1, 3000), 3),  # the last modality does not fit into shared memory
]


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(("batch", "sizes", "outputs"), TENSOR_CASES)
def test_tensor_fusion(library, ops, dtype, batch, sizes, outputs):
    xs = [random(batch, size, seed=index).to(dtype) for index, size in enumerate(sizes)]
    weight = random(*(size + 1 for size in sizes), outputs, seed=5).to(dtype)
    bias, d_out = random(outputs, seed=6).to(dtype), random(batch, outputs, seed=7).to(dtype)
    exact = [tensor.double().requires_grad_() for tensor in (*xs, weight)]
    expected = tensor_fusion_linear_reference(exact[:-1], exact[-1], bias.double())
    wanted = torch.autograd.grad(expected, exact, d_out.double())
    results = []
    for seed in (1, 2):
        library.seed(ctypes.c_uint32(seed))
        d_xs, d_weight = ops.tensor_fusion_linear_backward(d_out, xs, weight, [True] * (len(xs) + 1))
        results.append([ops.tensor_fusion_linear(xs, weight, bias), *d_xs, d_weight])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    for found, value in zip(results[0], (expected.detach(), *wanted), strict=True):
        assert distance(found, value) < 2 * LIMITS[dtype]
    assert distance(ops.tensor_fusion_linear(xs, weight, None), (expected - bias).detach()) < 2 * LIMITS[dtype]


@pytest.mark.parametrize("batch", [5, 256])
def test_gradients_that_nobody_asked_for_are_empty(ops, batch):
    xs, weight = [random(batch, size, seed=size) for size in (3, 4, 2)], random(4, 5, 3, 6)
    d_out = random(batch, 6, seed=1)
    *d_all, d_weight = ops.tensor_fusion_linear_backward(d_out, xs, weight, [True] * 4)
    wanted = [*d_all[0], d_weight]
    for index in range(4):
        needs = [other == index for other in range(4)]
        d_xs, d_weight = ops.tensor_fusion_linear_backward(d_out, xs, weight, needs)
        for one, other, needed in zip([*d_xs, d_weight], wanted, needs, strict=True):
            assert torch.equal(one, other) if needed else one.numel() == 0


def test_a_direct_call_is_refused(ops):
    logits, weights = random(5, 3, 4), random(3)
    with pytest.raises(RuntimeError, match="weights: expected shape"):
        ops.product_fusion(logits, weights[1:], None, None)
    with pytest.raises(RuntimeError, match="modality_mask: expected the shape"):
        ops.product_fusion(logits, weights, None, torch.ones(4, 3).bool())
    with pytest.raises(RuntimeError, match="xs: expected shape"):
        ops.tensor_fusion_linear([logits[0], logits[1]], random(5, 4, 2), None)
