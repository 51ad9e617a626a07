import pytest

from mm_emotion.ops._library import kernel_devices, reference_ops_wanted, use_reference_ops


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
