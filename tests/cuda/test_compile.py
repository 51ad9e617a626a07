"""The CUDA kernels compile for every architecture within their registers, and link to a library that loads anywhere."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NVCC = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
MOST_REGISTERS = {"product": 128, "fusion": 240}  # by namespace; others have what the hardware has
MOST_SPILLED = 32  # bytes

pytestmark = [pytest.mark.slow, pytest.mark.skipif(NVCC is None, reason="nvcc is not installed")]

BUILD = """
import sys
from pathlib import Path
import setup

setup.build_cuda(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[2], "library.so"))
"""

LOAD = """
import sys
import torch

for library in sys.argv[1:3]:
    torch.ops.load_library(library)
names = sys.argv[3:]
print(*(name for name in names if torch._C._dispatch_has_kernel_for_dispatch_key(f"mm_emotion::{name}", "CUDA")))
"""

KERNEL = re.compile(
    r"Compiling entry function '(?P<name>\S+)' for '(?P<target>\w+)'"
    r".*?(?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
    r".*?Used (?P<registers>\d+) registers",
    re.DOTALL,
)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of a build for the default architectures, and what the compiler said."""
    folder = tmp_path_factory.mktemp("cuda")
    environment = {
        name: value for name, value in os.environ.items() if not name.endswith(("_CUDA_ARCHS", "_ARCH_LIST"))
    }
    environment |= {"MM_EMOTION_NVCCFLAGS": "-Xptxas=-v"}
    command = [sys.executable, "-c", BUILD, NVCC, str(folder)]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return folder, run.stdout


def test_every_kernel_is_compiled_for_every_architecture(built):
    kernels = [match.groupdict() for match in KERNEL.finditer(built[1])]
    names = {
        target: {kernel["name"] for kernel in kernels if kernel["target"] == target} for target in ("sm_80", "sm_90a")
    }
    assert names["sm_80"] == names["sm_90a"]
    assert {kernel["target"] for kernel in kernels} == set(names)


def test_registers_suffice(built):
    found = list(KERNEL.finditer(built[1]))
    assert found
    for kernel in found:
        namespace = re.search("|".join(MOST_REGISTERS), kernel["name"])
        most = MOST_REGISTERS[namespace[0]] if namespace else 255
        assert int(kernel["registers"]) <= most, kernel[0]
        assert int(kernel["stores"]) <= MOST_SPILLED, kernel[0]


@pytest.mark.skipif(not (ROOT / "mm_emotion" / "_ops.abi3.so").exists(), reason="the native extension is not built")
def test_a_torch_with_or_without_cuda_finds_the_ops_in_the_library(built):
    sources = [file.read_text(encoding="utf-8") for file in (ROOT / "csrc" / "cuda").glob("*.cu")]
    names = sorted({name for source in sources for name in re.findall(r'm\.impl\("(\w+)"', source)})
    assert names
    libraries = [str(ROOT / "mm_emotion" / "_ops.abi3.so"), str(built[0] / "library.so")]
    command = [sys.executable, "-c", LOAD, *libraries, *names]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.split()) == (0, names), run.stderr
