"""The CUDA kernels of the fusions on a CPU: every block and thread of them, in random order, on poisoned memory."""

import ctypes
import shutil
import subprocess
from math import inf, prod
from pathlib import Path

import pytest
import torch
from torch.utils.cpp_extension import include_paths

from mm_emotion.ops.product_fusion import product_fusion_reference
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear_reference

FOLDER = Path(__file__).parent
LIMITS = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-2}


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("the emulation is compiled with g++, which is not here")
    library = tmp_path_factory.mktemp("emulation") / "kernels.so"
    flags = ["-std=c++20", "-O1", "-Wall", "-Werror", "-Wno-unknown-pragmas", "-fPIC", "-shared"]
    flags += ["-include", str(FOLDER / "emulator.h"), *(f"-I{path}" for path in include_paths())]
    subprocess.run(["g++", *flags, str(FOLDER / "fusion_kernels.cpp"), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def address(tensor):
    return ctypes.c_void_p(None if tensor is None else tensor.data_ptr())


def addresses(tensors):
    return (ctypes.c_void_p * 3)(*(tensor.data_ptr() for tensor in tensors))


def fresh(like):
    return torch.full_like(like, torch.nan).detach()


def name_of(dtype):
    return str(dtype).removeprefix("torch.")


def distance(found, expected):
    return ((found.double() - expected).norm() / expected.norm().clamp(min=1e-30)).item()


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_division_by_multiplication(kernels):
    kernels.divide.restype = ctypes.c_uint32
    for divisor in (1, 2, 3, 7, 33, 129, 641, 65535, 65537, 2**30 + 1, 2**31 - 1):
        for number in {0, 1, divisor - 1, divisor, divisor + 1, 17 * divisor - 1, 17 * divisor, 2**31 - 2, 2**31 - 1}:
            if number < 2**31:
                assert kernels.divide(number, divisor) == number // divisor


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
        random(rows, classes, seed=2).to(dtype),
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
def test_product_fusion(kernels, dtype, rows, modalities, classes, prior, mask, ruled_out):
    given = product_arguments(rows, modalities, classes, dtype, prior, mask, ruled_out)
    logits, weights, log_prior, modality_mask, d_out = given
    exact = logits.double().requires_grad_(), weights.double().requires_grad_()
    prior = None if log_prior is None else log_prior.double()
    expected = product_fusion_reference(*exact, prior, modality_mask)
    finite = torch.where(torch.isfinite(expected), expected, 0)
    wanted = torch.autograd.grad((finite * d_out.double()).sum(), exact)
    out, d_logits, d_weights = fresh(d_out), fresh(logits), fresh(weights)
    d_out = torch.where(torch.isfinite(expected.detach()), d_out, 0).contiguous()
    sizes = [ctypes.c_int64(size) for size in (rows, modalities, classes)]
    pointers = [address(tensor) for tensor in (logits, weights, log_prior, modality_mask, d_out)]
    results = [address(tensor) for tensor in (out, d_logits, d_weights)]
    getattr(kernels, f"product_{name_of(dtype)}")(*pointers, *sizes, *results)
    assert torch.equal(torch.isneginf(out), torch.isneginf(expected))
    rounded = torch.where(torch.isfinite(expected), out.double(), 0)
    for found, value in ((rounded, finite), (d_logits, wanted[0]), (d_weights, wanted[1])):
        assert distance(found, value) < 3 * LIMITS[dtype]


TENSOR_CASES = [
    (3, (4, 2, 3), 5),
    (33, (5, 4, 7), 130),
    (9, (6, 0, 5), 16),  # two modalities
    (1, (3, 3, 3), 8),
    (40, (2, 1, 140), 12),  # a pair has more rows than a tile
    (7, (11, 3, 0), 3),
    (0, (2, 2, 2), 4),
]


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(("batch", "sizes", "outputs"), TENSOR_CASES)
def test_tensor_fusion(kernels, dtype, batch, sizes, outputs):
    xs = [random(batch, size, seed=index).to(dtype) for index, size in enumerate(sizes)]
    shape = [size + 1 for size in sizes]
    weight, bias = random(*shape, outputs, seed=5).to(dtype), random(outputs, seed=6).to(dtype)
    d_out = random(batch, outputs, seed=7).to(dtype)
    exact = [tensor.double().requires_grad_() for tensor in (*xs, weight)]
    expected = tensor_fusion_linear_reference(exact[:3], exact[3], bias.double())
    wanted = torch.autograd.grad(expected, exact, d_out.double())
    results = []
    for seed in (1, 2):
        kernels.seed(ctypes.c_uint32(seed))
        out, d_xs, d_weight = fresh(d_out), [fresh(x) for x in xs], fresh(weight)
        getattr(kernels, f"tensor_{name_of(dtype)}")(
            addresses(xs), address(weight), address(bias), address(d_out), ctypes.c_int64(batch),
            (ctypes.c_int64 * 3)(*shape), ctypes.c_int64(outputs), address(out), addresses(d_xs), address(d_weight),
        )  # fmt: skip
        results.append([out, *d_xs, d_weight])
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
    for found, value in zip(results[0], (expected, *wanted), strict=True):
        assert found.shape == value.shape
        assert distance(found, value) < LIMITS[dtype] or prod(value.shape) == 0
