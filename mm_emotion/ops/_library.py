"""Which implementation runs: the reference in plain PyTorch, the fast path, or a kernel of the native extension.

Tensors choose: a kernel serves the devices it was built for, everything else takes the fast path in PyTorch. The native
extension, once there is one, registers its kernels here and nowhere else.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_reference: ContextVar[bool] = ContextVar("mm_emotion_reference_ops", default=False)


@contextmanager
def use_reference_ops() -> Iterator[None]:
    """Run every op by its definition inside the block; `MM_EMOTION_OPS=reference` does so for a process."""
    token = _reference.set(True)
    try:
        yield
    finally:
        _reference.reset(token)


def reference_ops_wanted() -> bool:
    """Whether ops are to run by their reference definition."""
    return _reference.get() or os.environ.get("MM_EMOTION_OPS") == "reference"


def kernel_devices() -> set[str]:
    """Device types with kernels of the native extension; none are built yet."""
    return set()
