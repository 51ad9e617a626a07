"""The native extension; everything else is declared in pyproject.toml.

`mm_emotion/_ops.abi3.so` holds the ops on torch's stable ABI, `mm_emotion/_C` what is no op. MM_EMOTION_BUILD_OPS=0
leaves both out; so does a missing torch or compiler, which one printed line says. The package works without them.
"""

import os
import shutil
from pathlib import Path

from setuptools import setup

STABLE_ABI = "0x020b000000000000"  # torch 2.11: one binary for it and all that follow
FLAGS = ["-O3", "-std=c++20", "-ffp-contract=fast", "-fvisibility=hidden", "-Wall"]


def extensions() -> dict:
    """Arguments of `setup` that build what can be built here."""
    if os.environ.get("MM_EMOTION_BUILD_OPS") == "0":
        return skipped("MM_EMOTION_BUILD_OPS=0")
    try:
        from torch.utils.cpp_extension import BuildExtension, CppExtension
    except ImportError:
        return skipped("torch cannot be imported at build time; install torch, then use --no-build-isolation")
    if shutil.which(os.environ.get("CXX", "c++").split()[0]) is None:
        return skipped("no C++ compiler was found; install g++ 12 or newer, or name one in CXX")
    flags = FLAGS + os.environ.get("MM_EMOTION_CXXFLAGS", "").split()
    ops = CppExtension(
        "mm_emotion._ops",
        sorted(str(file) for file in [Path("csrc/library.cpp"), *Path("csrc/cpu").glob("*.cpp")]),
        py_limited_api=True,
        define_macros=[("TORCH_TARGET_VERSION", STABLE_ABI)],
        extra_compile_args={"cxx": flags},
        extra_link_args=flags,
        depends=[str(file) for file in Path("csrc").rglob("*.h")],
    )
    return {
        "ext_modules": [ops, *python_module(flags)],
        "cmdclass": {"build_ext": BuildExtension},
    }


def python_module(flags: list[str]) -> list:
    """The pybind11 module, where pybind11 is installed."""
    try:
        from pybind11.setup_helpers import Pybind11Extension
    except ImportError:
        print("mm_emotion: building without mm_emotion._C: pybind11 is not installed")
        return []
    return [Pybind11Extension("mm_emotion._C", ["csrc/python.cpp"], extra_compile_args=flags, extra_link_args=flags)]


def skipped(reason: str) -> dict:
    """Say in one line why there will be no extension."""
    print(f"mm_emotion: building without native ops: {reason}")
    return {}


setup(**extensions())
