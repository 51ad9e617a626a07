"""Which implementation runs: the reference in plain PyTorch, the fast path, or a kernel of the native extension.

Tensors choose: a kernel serves the devices it was built for, everything else takes the fast path in PyTorch. The native
extension is one file beside this package, built by setup.py, and a second one with the kernels for CUDA. Where it is
missing everything runs in PyTorch; where it is there but cannot be loaded, the first op fails and says what to do, as
`mm-emotion doctor` does.

The CUDA kernels have been compiled and emulated, but no release has run them on a device: MM_EMOTION_CUDA=1 turns them
on. Without it tensors on a CUDA device take the fast path in PyTorch.
"""

import importlib
import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import torch

from mm_emotion.errors import BrokenExtensionError

LIBRARY = Path(__file__).parent.parent / "_ops.abi3.so"
CUDA_LIBRARY = LIBRARY.with_name("_ops_cuda.abi3.so")
OPS = (
    "product_fusion",
    "product_fusion_backward",
    "tensor_fusion_linear",
    "tensor_fusion_linear_backward",
    "dialogue_rnn_scan",
    "dialogue_rnn_scan_chain",
    "dialogue_rnn_scan_backward",
)
WITHOUT_CUDA_KERNEL = {"dialogue_rnn_scan_backward"}  # made of others, in Python

# A plain global: torch.compile can neither read a ContextVar nor see it change.
_reference = False


@contextmanager
def use_reference_ops() -> Iterator[None]:
    """Run every op, in every thread, by its definition inside the block; `MM_EMOTION_OPS=reference` does so always."""
    global _reference
    before, _reference = _reference, True
    try:
        yield
    finally:
        _reference = before


def reference_ops_wanted() -> bool:
    """Whether ops are to run by their reference definition."""
    return _reference or os.environ.get("MM_EMOTION_OPS") == "reference"


def load(library: Path) -> frozenset[str]:
    """Load the extension and return the device types it has kernels for; none if the file is not there.

    Raises:
        BrokenExtensionError: the file is there but is no library that this torch can load, or an outdated one.
    """
    if not library.exists() or os.environ.get("MM_EMOTION_OPS") == "reference":
        return frozenset()
    try:
        torch.ops.load_library(library)
    except OSError as error:
        raise BrokenExtensionError(library, error) from error
    if missing := [name for name in OPS if not hasattr(torch.ops.mm_emotion, name)]:
        raise BrokenExtensionError(library, f"it was built from older sources, without {', '.join(missing)}")
    return frozenset({"cpu"})


def load_cuda(library: Path) -> frozenset[str]:
    """As `load`, of the CUDA kernels, after the ops they belong to; none where they are switched off or of no use."""
    if not library.exists() or not cuda_kernels_wanted() or torch.version.cuda is None:
        return frozenset()
    try:
        torch.ops.load_library(library)
    except OSError as error:
        raise BrokenExtensionError(library, error) from error
    has_kernel_for = torch._C._dispatch_has_kernel_for_dispatch_key
    needed = [name for name in OPS if name not in WITHOUT_CUDA_KERNEL]
    if missing := [name for name in needed if not has_kernel_for(f"mm_emotion::{name}", "CUDA")]:
        raise BrokenExtensionError(library, f"it was built from older sources, without {', '.join(missing)}")
    return frozenset({"cuda"})


def cuda_kernels_wanted() -> bool:
    """Whether the environment turns on the CUDA kernels."""
    return os.environ.get("MM_EMOTION_CUDA") == "1"


def _load_or_keep_the_error() -> tuple[frozenset[str], BrokenExtensionError | None]:
    try:
        devices = load(LIBRARY)
        return devices | load_cuda(CUDA_LIBRARY) if devices else devices, None
    except BrokenExtensionError as error:
        return frozenset(), error


# Kept, not raised: importing the package must not fail, or `mm-emotion doctor` could not say what is wrong.
_devices, _broken = _load_or_keep_the_error()


def kernel_devices() -> set[str]:
    """Device types with kernels of the native extension."""
    return set(_devices)


def has_kernel(tensor: torch.Tensor) -> bool:
    """Whether ops on `tensor` run in the native extension; raises BrokenExtensionError where it cannot be loaded."""
    if _broken is not None and not reference_ops_wanted():
        raise _broken
    return tensor.device.type in _devices and not reference_ops_wanted()


def build_info() -> dict[str, object]:
    """Compiler, C++ standard, instruction sets and CUDA architectures of the native build; empty without one."""
    if importlib.util.find_spec("mm_emotion._C") is None:
        return {}
    return dict(importlib.import_module("mm_emotion._C").build_info())


def no_second_derivative(*_: object) -> NoReturn:
    """The backward of every backward kernel."""
    raise NotImplementedError(
        "native ops have no second derivative: compute it inside `with mm_emotion.ops.use_reference_ops():`"
    )
