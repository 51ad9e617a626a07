"""What this installation has: versions, devices, kernels, optional libraries and data."""

import importlib.util
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from mm_emotion.ops import build_info, kernel_devices

REQUIRED = (
    "mm_emotion",
    "torch",
    "transformers",
    "datasets",
    "accelerate",
    "huggingface_hub",
    "evaluate",
    "numpy",
    "scipy",
)
EXTRAS = {"av": "video", "matplotlib": "figures", "sklearn": "baselines"}


def diagnose() -> tuple[list[str], bool]:
    """Lines that describe the installation, and whether all that is required is there."""
    healthy = True
    lines = [f"python {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"]
    for name in REQUIRED:
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            lines.append(f"{name} MISSING: pip install {name}")
            healthy = False
    for module, extra in EXTRAS.items():
        found = importlib.util.find_spec(module) is not None
        lines.append(f"{module} " + ("found" if found else f"absent: pip install 'mm_emotion[{extra}]'"))
    lines.append(f"torch threads {torch.get_num_threads()}")
    if torch.cuda.is_available():
        lines += [f"cuda:{index} {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count())]
    else:
        lines.append("no CUDA device: everything runs on the CPU")
    kernels = sorted(kernel_devices())
    lines.append(
        "ops: " + (f"native kernels for {', '.join(kernels)}" if kernels else "PyTorch reference (no native extension)")
    )
    if info := build_info():
        lines.append(f"native build: compiler {info['compiler']}, {', '.join(info['instruction_sets'])}")
    lines.append(f"C++ compiler {shutil.which('c++') or 'not found (only needed to build native ops)'}")
    lines += _data()
    return lines, healthy


def _data() -> list[str]:
    root = os.environ.get("MM_EMOTION_DATA")
    if not root:
        return ["MM_EMOTION_DATA not set: real-corpus tests and default data paths are off"]
    if not Path(root).is_dir():
        return [f"MM_EMOTION_DATA={root}: no such folder"]
    found = sorted(entry.name for entry in Path(root).iterdir() if entry.is_dir())
    return [f"MM_EMOTION_DATA={root}: {', '.join(found) or 'empty'}"]
