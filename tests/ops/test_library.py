import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mm_emotion.errors import BrokenExtensionError
from mm_emotion.ops import _library
from mm_emotion.ops._library import build_info, kernel_devices, load, load_cuda, reference_ops_wanted, use_reference_ops
from mm_emotion.ops.dialogue_rnn_scan import dialogue_rnn_scan
from mm_emotion.ops.product_fusion import product_fusion
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear


def test_the_block_ends_where_it_ends(monkeypatch):
    monkeypatch.delenv("MM_EMOTION_OPS", raising=False)
    assert not reference_ops_wanted()
    with pytest.raises(KeyError), use_reference_ops():
        assert reference_ops_wanted()
        raise KeyError
    assert not reference_ops_wanted()


def test_the_environment_speaks_for_the_process(monkeypatch):
    monkeypatch.setenv("MM_EMOTION_OPS", "reference")
    assert reference_ops_wanted()


def test_kernel_devices_are_device_types():
    assert kernel_devices() <= {"cpu", "cuda"}


def test_no_extension_means_no_kernels(tmp_path):
    assert load(tmp_path / "_ops.abi3.so") == frozenset()


def test_a_broken_extension_says_what_to_do(tmp_path, monkeypatch):
    broken = tmp_path / "_ops.abi3.so"
    broken.write_bytes(b"not a library")
    monkeypatch.delenv("MM_EMOTION_OPS", raising=False)
    with pytest.raises(BrokenExtensionError, match=r"_ops\.abi3\.so cannot be loaded .* rebuild it with `pip install"):
        load(broken)
    monkeypatch.setenv("MM_EMOTION_OPS", "reference")
    assert load(broken) == frozenset()


def test_a_broken_extension_fails_at_the_first_op_and_not_before(monkeypatch):
    monkeypatch.delenv("MM_EMOTION_OPS", raising=False)
    monkeypatch.setattr(_library, "_broken", BrokenExtensionError(_library.LIBRARY, "damaged"))
    with pytest.raises(BrokenExtensionError, match="damaged"):
        _library.has_kernel(torch.zeros(1))
    with use_reference_ops():
        assert not _library.has_kernel(torch.zeros(1))


@pytest.mark.skipif(not kernel_devices(), reason="the native extension is not built")
def test_an_outdated_extension_says_what_it_lacks(monkeypatch):
    monkeypatch.setattr(_library, "OPS", ("product_fusion", "newer_op"))
    with pytest.raises(BrokenExtensionError, match="older sources, without newer_op"):
        load(_library.LIBRARY)


def test_build_info_names_the_compiler_where_there_is_a_build():
    info = build_info()
    assert info == {} or (info["compiler"] and info["instruction_sets"][-1] == "baseline")


@pytest.fixture
def torch_with_cuda(tmp_path, monkeypatch):
    """A file that is no library, beside a torch that says it has CUDA."""
    file = tmp_path / "_ops_cuda.abi3.so"
    file.write_bytes(b"not a library")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setenv("MM_EMOTION_CUDA", "1")
    return file


@pytest.mark.parametrize("value", [None, "0", ""])
def test_cuda_kernels_are_not_even_loaded_without_the_switch(torch_with_cuda, monkeypatch, value):
    monkeypatch.delenv("MM_EMOTION_CUDA")
    if value is not None:
        monkeypatch.setenv("MM_EMOTION_CUDA", value)
    assert load_cuda(torch_with_cuda) == frozenset()


def test_cuda_kernels_that_cannot_be_loaded_say_what_to_do(torch_with_cuda, monkeypatch):
    with pytest.raises(BrokenExtensionError, match=r"_ops_cuda\.abi3\.so cannot be loaded .* rebuild it"):
        load_cuda(torch_with_cuda)
    monkeypatch.setattr(torch.version, "cuda", None)
    assert load_cuda(torch_with_cuda) == frozenset()


def test_cuda_kernels_must_serve_every_op(torch_with_cuda, monkeypatch):
    monkeypatch.setattr(torch.ops, "load_library", lambda library: None)
    present = {f"mm_emotion::{name}" for name in _library.OPS} - {"mm_emotion::dialogue_rnn_scan_backward"}
    monkeypatch.setattr(
        torch._C, "_dispatch_has_kernel_for_dispatch_key", lambda name, key: key == "CUDA" and name in present
    )
    assert load_cuda(torch_with_cuda) == {"cuda"}
    present.remove("mm_emotion::product_fusion")
    with pytest.raises(BrokenExtensionError, match="older sources, without product_fusion"):
        load_cuda(torch_with_cuda)


class Called(TorchDispatchMode):
    """Names of the ops of this package that are called inside."""

    def __init__(self):
        super().__init__()
        self.names = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "mm_emotion":
            self.names.add(func.name().removeprefix("mm_emotion::"))
        return func(*args, **(kwargs or {}))


def call_every_op():
    weights = [torch.zeros(*shape) for shape in ((6, 2), (6, 2), (6,)) * 2 + ((6, 2), (6,), (6, 2), (6,))]
    states = torch.zeros(1, 2, 3, 12), torch.zeros(1, 2, 3, 2)
    with torch.no_grad():
        product_fusion(torch.zeros(3, 2, 4), torch.zeros(2))
        tensor_fusion_linear([torch.zeros(3, 2), torch.zeros(3, 1)], torch.zeros(3, 2, 4))
        dialogue_rnn_scan(*states, torch.zeros(2, 3).long(), torch.tensor([3, 2]), weights, num_parties=2)


@pytest.mark.skipif(not kernel_devices(), reason="the native extension is not built")
def test_a_tensor_goes_to_a_kernel_only_where_its_device_has_one(monkeypatch):
    """Tensors on the CPU, once with kernels for it and once with kernels for another device alone."""
    monkeypatch.delenv("MM_EMOTION_OPS", raising=False)
    for devices, expected in (({"cpu"}, {"product_fusion", "dialogue_rnn_scan"}), ({"cuda"}, set())):
        monkeypatch.setattr(_library, "_devices", frozenset(devices))
        assert kernel_devices() == devices
        with Called() as called:
            call_every_op()
        assert expected <= called.names and bool(expected) == bool(called.names)
