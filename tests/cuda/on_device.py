"""Everything to do on a machine with a CUDA device: build, test, look for races, measure; one record of it all.

    python tests/cuda/on_device.py [--out build/gpu] [--skip sanitizer benchmark]

Writes <out>/record.json, with the log of each step beside it. Ends with 1 where a step failed or there is no device.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from datetime import UTC, datetime
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
PYTEST = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "tests/cuda"]
TOOLS = ("memcheck", "racecheck", "synccheck")
# Each op once or twice: under a sanitizer every access is watched.
SMALL = ["-k", "same_bits or (equal_the_definition and 0) or (values_and_gradients and (shape2 or outer2))"]
SECONDS = 1800  # that a step may take: a barrier that nobody reaches would wait for ever


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu")
    parser.add_argument("--skip", nargs="*", default=[], choices=["build", "sanitizer", "benchmark"])
    given = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        reason = "this torch is built without CUDA" if torch.version.cuda is None else "torch finds no CUDA device"
        print(f"test-gpu: nothing was run: {reason}")
        return 1
    given.out.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {"MM_EMOTION_CUDA": "1", "PYTHONPATH": str(ROOT)}
    steps = {}
    for name, command, extra in plan(given.out, given.skip):
        steps[name] = run(name, command, environment | extra, given.out)
        if name == "build" and not steps[name]["passed"]:
            break
    steps |= {"sanitizer": {"passed": False, "reason": "compute-sanitizer was not found"}} if lacks(given.skip) else {}
    counts = count_tests(given.out / "tests.xml")
    if "tests" in steps:
        steps["tests"] |= counts
        # A test that was left out has shown nothing.
        steps["tests"]["passed"] &= counts["skipped"] == 0 and counts["tests"] > 0
    record = facts() | {"passed": all(step["passed"] for step in steps.values()), "steps": steps}
    (given.out / "record.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(f"test-gpu: {'passed' if record['passed'] else 'FAILED'}; the record is {given.out / 'record.json'}")
    return 0 if record["passed"] else 1


def plan(out: Path, skip: list[str]) -> list[tuple[str, list[str], dict[str, str]]]:
    """Name, command and environment of every step."""
    major, minor = torch.cuda.get_device_capability()
    own = f"{major}.{minor}{'a' if major == 9 else ''}"
    archs = os.environ.get("MM_EMOTION_CUDA_ARCHS") or os.environ.get("TORCH_CUDA_ARCH_LIST") or own
    build = {"MM_EMOTION_BUILD_CUDA": "1", "MM_EMOTION_CUDA_ARCHS": archs}
    steps = [
        ("build", [sys.executable, "setup.py", "build_ext", "--inplace"], build),
        ("doctor", [sys.executable, "-m", "mm_emotion", "doctor"], {}),
        ("tests", [*PYTEST, f"--junitxml={out / 'tests.xml'}"], {}),
    ]
    if sanitizer := find_sanitizer():
        # An allocator that keeps memory hides accesses beyond the end of a tensor.
        own_memory = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}
        for tool in TOOLS if "sanitizer" not in skip else ():
            steps.append((tool, [sanitizer, "--tool", tool, "--error-exitcode", "9", *PYTEST, *SMALL], own_memory))
    steps.append(("benchmark", [sys.executable, "benchmarks/run.py", "--device", "cuda", "--out", str(out)], {}))
    return [step for step in steps if step[0] not in skip]


def find_sanitizer() -> str | None:
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    return shutil.which("compute-sanitizer") or shutil.which("compute-sanitizer", path=f"{home}/bin")


def lacks(skip: list[str]) -> bool:
    return "sanitizer" not in skip and find_sanitizer() is None


def run(name: str, command: list[str], environment: dict[str, str], out: Path) -> dict[str, object]:
    """Run a step, keep what it says, and tell how it went."""
    begin = time.monotonic()
    with (out / f"{name}.log").open("w", encoding="utf-8") as log:
        options = {"stdout": log, "stderr": subprocess.STDOUT, "timeout": SECONDS, "check": False}
        try:
            passed = subprocess.run(command, cwd=ROOT, env=environment, **options).returncode == 0
        except subprocess.TimeoutExpired:
            passed = False
    seconds = round(time.monotonic() - begin, 1)
    print(f"test-gpu: {name} {'passed' if passed else 'FAILED'} in {seconds} s", flush=True)
    return {"passed": passed, "seconds": seconds, "command": command, "log": f"{name}.log"}


def count_tests(report: Path) -> dict[str, int]:
    """Numbers of tests, failures, errors and skipped ones of a JUnit report; 0 without one."""
    names = ("tests", "failures", "errors", "skipped")
    if not report.exists():
        return dict.fromkeys(names, 0)
    suites = list(ElementTree.parse(report).getroot().iter("testsuite"))
    return {name: sum(int(suite.get(name, 0)) for suite in suites) for name in names}


def facts() -> dict[str, object]:
    """Where and of what the record is."""
    properties = torch.cuda.get_device_properties(0)
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": said("git", "rev-parse", "HEAD"),
        "uncommitted_changes": bool(said("git", "status", "--porcelain")),
        "device": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "memory_bytes": properties.total_memory,
        "multiprocessors": properties.multi_processor_count,
        "driver": said("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "torch_cuda": torch.version.cuda,
        "nvcc": said("nvcc", "--version").split("release ")[-1].split(",")[0],
    }


def said(*command: str) -> str:
    """What a command prints; nothing where it is not there or fails."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
