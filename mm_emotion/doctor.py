"""What this installation has: versions, devices, kernels, optional libraries and data."""

import importlib.util
import os
import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from mm_emotion.data.tables import ALIASES
from mm_emotion.ops._library import CUDA_LIBRARY, LIBRARY, build_info, load, load_cuda
from mm_emotion.schema import AFFECT_DIMENSIONS, LABEL_SETS

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
    "pyyaml",
    "soundfile",
)
EXTRAS = {"av": "video", "matplotlib": "figures", "sklearn": "baselines", "opensmile": "opensmile"}


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
    ops, ops_work = _ops()
    lines += ops
    lines.append(f"C++ compiler {shutil.which('c++') or 'not found (only needed to build native ops)'}")
    lines += _data()
    return lines, healthy and ops_work


def _ops() -> tuple[list[str], bool]:
    """Lines about the native extension, and whether it is whole or absent."""
    if LIBRARY.exists() and os.environ.get("MM_EMOTION_OPS") == "reference":
        return ["ops: PyTorch reference (MM_EMOTION_OPS=reference; the native extension is not used)"], True
    try:
        kernels = sorted(load(LIBRARY))
        kernels += load_cuda(CUDA_LIBRARY) if kernels else []
        info = build_info()
    except ImportError as error:
        return [f"ops: native extension BROKEN: {error}"], False
    if not kernels:
        return ["ops: PyTorch reference (no native extension)"], True
    lines = [f"ops: native kernels for {', '.join(kernels)}"]
    if info:
        lines.append(f"native build: compiler {info['compiler']}, {', '.join(info['instruction_sets'])}")
    return lines + _cuda_kernels("cuda" in kernels, info.get("cuda_architectures", [])), True


def _cuda_kernels(used: bool, architectures: object) -> list[str]:
    """One line about the CUDA kernels, where this torch could use them or somebody built them."""
    built = f"built for {', '.join(architectures) or 'unknown architectures'}" if CUDA_LIBRARY.exists() else "not built"
    if used:
        return [f"CUDA kernels: {built}, on (MM_EMOTION_CUDA=1)"]
    if torch.version.cuda is None:
        return [f"CUDA kernels: {built}, but this torch has no CUDA"] if CUDA_LIBRARY.exists() else []
    if not CUDA_LIBRARY.exists():
        return [f"CUDA kernels: {built} (nvcc was missing or failed); CUDA tensors take the fast path in PyTorch"]
    return [f"CUDA kernels: {built}, off: not yet run on a device by a release; MM_EMOTION_CUDA=1 turns them on"]


def _data() -> list[str]:
    """Lines about the folder of corpora: what `open_corpus` can open by name, and what else lies there."""
    root = os.environ.get("MM_EMOTION_DATA")
    if not root:
        return ["MM_EMOTION_DATA not set: real-corpus tests and default data paths are off"]
    if not Path(root).is_dir():
        return [f"MM_EMOTION_DATA={root}: no such folder"]
    folders = sorted(entry for entry in Path(root).iterdir() if entry.is_dir())
    usable = {folder: name for folder in folders for name in _corpora() if _opens(folder, name)}
    lines = [f"MM_EMOTION_DATA={root}: {', '.join(sorted(usable.values())) or 'no corpus that can be opened'}"]
    if others := [folder.name for folder in folders if folder not in usable]:
        lines.append(f"other folders there: {', '.join(others)}")
    return lines


def _corpora() -> list[str]:
    return sorted({*LABEL_SETS, *AFFECT_DIMENSIONS})


def _opens(folder: Path, corpus: str) -> bool:
    """Whether the folder has the corpus' name and holds, itself or for a label set, a prepared dataset or a table."""
    if folder.name not in (corpus, corpus.removeprefix("cmu_")):
        return False
    label_sets = (*LABEL_SETS.get(corpus, ()), *AFFECT_DIMENSIONS.get(corpus, ()))
    return any(_holds_rows(place, corpus) for place in (folder, *(folder / name for name in label_sets)))


def _holds_rows(place: Path, corpus: str) -> bool:
    if corpus in ALIASES and (any(place.glob("utterances.jsonl")) or any(place.glob("*_sent_emo.csv"))):
        return True
    return any(place.glob("*.parquet")) or ((place / "README.md").is_file() and any(place.glob("data/*.parquet")))
