"""The native extensions; everything else is declared in pyproject.toml.

`mm_emotion/_ops.abi3.so` holds the ops on torch's stable ABI, `mm_emotion/_ops_cuda.abi3.so` their CUDA kernels, and
`mm_emotion/_C` what is no op. MM_EMOTION_BUILD_OPS=0 leaves all out; so does a missing torch or compiler, which one
printed line says. The package works without them.

CUDA kernels are built for a torch that has CUDA, where nvcc is found; MM_EMOTION_BUILD_CUDA=1 builds them for any
torch, =0 never. MM_EMOTION_CUDA_ARCHS or TORCH_CUDA_ARCH_LIST names other architectures, as in "8.0 9.0a 9.0+PTX".
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.errors import CompileError

STABLE_ABI = "0x020b000000000000"  # torch 2.11: one binary for it and all that follow
FLAGS = ["-O3", "-std=c++20", "-ffp-contract=fast", "-fvisibility=hidden", "-Wall"]
CUDA_ARCHS = "8.0 9.0a 9.0+PTX"
CUDA_FLAGS = ["-O3", "-std=c++20", "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wno-unknown-pragmas", "-DUSE_CUDA"]


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
    nvcc = find_nvcc()
    # BuildExtension asks for a torch with CUDA as soon as it sees a .cu file, so it sees none.
    optional = os.environ.get("MM_EMOTION_BUILD_CUDA") != "1"
    sources = [str(file) for file in Path("csrc").rglob("*.*")]
    cuda = Extension("mm_emotion._ops_cuda", [], py_limited_api=True, optional=optional, depends=sources)

    class Build(BuildExtension):
        def build_extension(self, extension):
            if extension.name == "mm_emotion._ops_cuda":
                build_cuda(nvcc, Path(self.build_temp, "cuda"), Path(self.get_ext_fullpath(extension.name)))
            else:
                super().build_extension(extension)

    return {
        "ext_modules": [ops, *([cuda] if nvcc else []), *python_module(flags, cuda_architectures() if nvcc else [])],
        "cmdclass": {"build_ext": Build},
    }


def find_nvcc() -> str | None:
    """The CUDA compiler, if CUDA kernels are to be built."""
    import torch

    wish = os.environ.get("MM_EMOTION_BUILD_CUDA")
    if wish == "0" or (wish != "1" and torch.version.cuda is None):
        return None
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    nvcc = (
        shutil.which(f"{home}/bin/nvcc") if home else shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    )
    missing = "nvcc was not found; install a CUDA toolkit, or name its folder in CUDA_HOME" if nvcc is None else None
    if find_ninja() is None:
        missing = "ninja was not found; install it with pip"
    if missing is None:
        return nvcc
    if wish == "1":
        raise SystemExit(f"mm_emotion: MM_EMOTION_BUILD_CUDA=1, but {missing}")
    print(f"mm_emotion: building without CUDA kernels: {missing}")
    return None


def find_ninja() -> str | None:
    """Ninja from the path, or from beside this Python, whose environment need not be active."""
    return shutil.which("ninja") or shutil.which("ninja", path=str(Path(sys.executable).parent))


def cuda_architectures() -> list[str]:
    """What the kernels are compiled for: sm_X is machine code, compute_X is PTX for every later one."""
    wish = os.environ.get("MM_EMOTION_CUDA_ARCHS") or os.environ.get("TORCH_CUDA_ARCH_LIST") or CUDA_ARCHS
    names = []
    for name in wish.replace(";", " ").split():
        form = re.fullmatch(r"(\d+)\.(\d[af]?)(\+PTX)?", name)
        if form is None:
            raise SystemExit(f"mm_emotion: CUDA architecture {name!r}: expected one like 8.0, 9.0a or 9.0+PTX")
        number = form[1] + form[2]
        # Machine code of 9.0 beside that of 9.0a would serve the same devices.
        plain_too = form[3] and f"{name.removesuffix('+PTX')}a" in wish
        names += [] if plain_too else [f"sm_{number}"]
        names += [f"compute_{number}"] if form[3] else []
    return list(dict.fromkeys(names))


def cuda_compile_flags() -> list[str]:
    """Arguments of nvcc, but for files and architectures."""
    from torch.utils.cpp_extension import include_paths

    flags = [*CUDA_FLAGS, f"-DTORCH_TARGET_VERSION={STABLE_ABI}", *(f"-I{path}" for path in include_paths())]
    if compiler := os.environ.get("CXX"):
        flags += ["-ccbin", compiler]
    return [*flags, *os.environ.get("MM_EMOTION_NVCCFLAGS", "").split()]


def build_cuda(nvcc: str, folder: Path, library: Path) -> None:
    """Compile csrc/cuda/*.cu with ninja, as BuildExtension does, but for any torch and any toolkit."""
    from torch.utils.cpp_extension import library_paths

    targets = [f"-gencode=arch={name.replace('sm_', 'compute_')},code={name}" for name in cuda_architectures()]
    compile_flags = shlex.join(cuda_compile_flags() + targets)
    # libtorch names libtorch_cuda where there is one: that is how the stream of torch is found. A static CUDA runtime
    # needs no library of the toolkit where the kernels run.
    link_flags = shlex.join([*(f"-L{path}" for path in library_paths()), "-Xlinker=--no-as-needed", "-cudart=static"])
    lines = [
        f"rule compile\n  command = {shlex.quote(nvcc)} {compile_flags} -MD -MF $out.d -c $in -o $out",
        "  depfile = $out.d\n  deps = gcc",
        f"rule link\n  command = {shlex.quote(nvcc)} -shared $in -o $out {link_flags} -ltorch -ltorch_cpu -lc10",
    ]
    objects = []
    for source in sorted(Path("csrc/cuda").glob("*.cu")):
        objects.append(f"{source.stem}.o")
        lines.append(f"build {objects[-1]}: compile {ninja_path(source)}")
    lines.append(f"build {ninja_path(library)}: link {' '.join(objects)}\n")
    folder.mkdir(parents=True, exist_ok=True)
    library.parent.mkdir(parents=True, exist_ok=True)
    (folder / "build.ninja").write_text("\n".join(lines), encoding="utf-8")
    jobs = os.environ.get("MAX_JOBS")
    try:
        subprocess.run([find_ninja(), "-C", str(folder), *(["-j", jobs] if jobs else [])], check=True)
    except subprocess.CalledProcessError as error:
        raise CompileError(f"CUDA kernels: {error}; MM_EMOTION_BUILD_CUDA=0 builds without them") from error


def ninja_path(path: Path) -> str:
    """`path` as ninja reads it."""
    return re.sub(r"([$ :])", r"$\1", str(path.resolve()))


def python_module(flags: list[str], architectures: list[str]) -> list:
    """The pybind11 module, where pybind11 is installed."""
    try:
        from pybind11.setup_helpers import Pybind11Extension
    except ImportError:
        print("mm_emotion: building without mm_emotion._C: pybind11 is not installed")
        return []
    define = [("MM_EMOTION_CUDA_ARCHITECTURES", '"' + " ".join(architectures) + '"')]
    return [
        Pybind11Extension(
            "mm_emotion._C", ["csrc/python.cpp"], define_macros=define, extra_compile_args=flags, extra_link_args=flags
        )
    ]


def skipped(reason: str) -> dict:
    """Say in one line why there will be no extension."""
    print(f"mm_emotion: building without native ops: {reason}")
    return {}


if __name__ == "__main__":
    setup(**extensions())
