import pytest
import torch

from mm_emotion.errors import BrokenExtensionError
from mm_emotion.ops import _library
from mm_emotion.ops._library import build_info, kernel_devices, load, reference_ops_wanted, use_reference_ops


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
