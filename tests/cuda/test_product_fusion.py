"""The product rule on a CUDA device against its definition in double precision on the CPU."""

import itertools
import math

import pytest
import torch

from mm_emotion.ops import kernel_devices
from mm_emotion.ops.product_fusion import product_fusion, product_fusion_reference

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not torch.cuda.is_available() or "cuda" not in kernel_devices(),
        reason="needs a GPU, CUDA kernels and MM_EMOTION_CUDA=1",
    ),
]

LIMITS = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2e-2}
SHAPES = [(2, 3), (1, 1, 1), (5, 3, 4), (7, 8, 9), (2, 3, 2, 7), (0, 2, 3), (1000, 2, 3), (129, 8, 40), (4, 3, 1000)]
OPTIONS = list(itertools.product((False, True), (False, True), (0.0, 0.3)))


def distance(found, expected):
    """Relative error against a result in double precision on the CPU."""
    assert found.shape == expected.shape
    assert torch.isfinite(found).all()
    error = (found.detach().cpu().double() - expected.detach()).norm()
    return (error / expected.detach().norm().clamp(min=1e-30)).item()


def make(shape, dtype, prior, mask, ruled_out):
    chance = torch.Generator().manual_seed(sum(shape))
    *outer, modalities, classes = shape
    logits = torch.randn(*shape, generator=chance, dtype=torch.float64).log_softmax(-1)
    logits = logits.masked_fill(torch.rand(*shape, generator=chance) < ruled_out, -math.inf)
    return (
        logits.to(dtype).cuda().requires_grad_(),
        torch.rand(modalities, generator=chance, dtype=torch.float64).to(dtype).cuda().requires_grad_(),
        torch.randn(classes, generator=chance).log_softmax(-1).to(dtype).cuda() if prior else None,
        (torch.rand(*outer, modalities, generator=chance) < 0.7).cuda() if mask else None,
    )


def exact(arguments):
    """The same numbers, for the reference."""
    log_probs, weights, prior, mask = arguments
    leaves = [tensor.detach().cpu().double().requires_grad_() for tensor in (log_probs, weights)]
    return *leaves, None if prior is None else prior.cpu().double(), None if mask is None else mask.cpu()


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_gradients(shape, dtype):
    for options in OPTIONS:
        arguments = make(shape, dtype, *options)
        reference = exact(arguments)
        out, expected = product_fusion(*arguments), product_fusion_reference(*reference)
        real = torch.isfinite(expected)
        assert torch.equal(torch.isfinite(out).cpu(), real)
        direction = torch.randn(out.shape, dtype=torch.float64).to(dtype) * real
        found = torch.autograd.grad(torch.where(real.cuda(), out, 0), arguments[:2], direction.cuda())
        wanted = torch.autograd.grad(torch.where(real, expected, 0), reference[:2], direction.double())
        assert distance(torch.where(real.cuda(), out, 0), torch.where(real, expected, 0)) < LIMITS[dtype]
        for one, other in zip(found, wanted, strict=True):
            assert distance(one, other) < LIMITS[dtype]


def test_views_that_start_anywhere():
    for offset, dtype in itertools.product(range(9), LIMITS):
        flat = torch.randn(offset + 300 * 6, generator=torch.Generator().manual_seed(offset)).to(dtype).cuda()
        view, weights = flat[offset:].view(300, 2, 3), torch.ones(2, dtype=dtype, device="cuda")
        expected = product_fusion_reference(view.cpu().double(), weights.cpu().double())
        assert distance(product_fusion(view, weights), expected) < LIMITS[dtype]
        turned = view.transpose(1, 2).contiguous().transpose(1, 2)
        assert torch.equal(product_fusion(turned, weights), product_fusion(view, weights))


def test_a_direct_call_is_refused():
    log_probs, weights, *_ = make((5, 3, 4), torch.float32, False, False, 0.0)
    call = torch.ops.mm_emotion.product_fusion
    with pytest.raises(RuntimeError, match="weights: expected shape"):
        call(log_probs, weights[1:], None, None)
    with pytest.raises(RuntimeError, match="weights: expected the same CUDA device"):
        call(log_probs, weights.cpu(), None, None)
