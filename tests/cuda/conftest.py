"""Tests marked `cuda` need a device, and the CUDA kernels switched on: `make test-gpu` runs them."""

import pytest
import torch

from mm_emotion.ops import kernel_devices


@pytest.fixture(autouse=True)
def device(request):
    if request.node.get_closest_marker("cuda") is None:
        return
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    if "cuda" not in kernel_devices():
        pytest.skip("the CUDA kernels are not built, or MM_EMOTION_CUDA is not 1")


@pytest.fixture
def distance():
    """Relative error of a result against one in double precision on the CPU."""

    def measure(found, expected):
        assert found.shape == expected.shape
        assert torch.isfinite(found).all()
        error = (found.detach().cpu().double() - expected.detach()).norm()
        return (error / expected.detach().norm().clamp(min=1e-30)).item()

    return measure
