"""Fast paths behind plain functions, one module per op; its `_reference` twin is its definition."""

from mm_emotion.ops._library import build_info, kernel_devices, use_reference_ops

__all__ = ["build_info", "kernel_devices", "use_reference_ops"]
