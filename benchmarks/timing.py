"""Timing contenders in turn, and refusing where the machine is too busy for a figure to mean anything."""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

FAIR_SHARE = 0.9  # of the processor time that a quiet machine gives to its threads


class BusyMachineError(RuntimeError):
    """Wall and processor time disagree: something else runs here."""


@dataclass
class Case:
    """Contenders that compute the same from the same tensors; ratios refer to the first."""

    op: str
    shape: str
    direction: str  # "forward" or "forward+backward"
    contenders: dict[str, Callable[[], object]]
    check: Callable[[dict[str, object]], None]  # raises where results differ; by contender
    flops: float  # of the forward or of both, as the best contender computes it
    dtype: str = "float32"
    left_out: dict[str, str] = field(default_factory=dict)


def clocks() -> tuple[float, float]:
    """Wall and processor time of this process, in seconds."""
    return time.perf_counter(), time.process_time()


def elapsed(run: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    wall, processor = clocks()
    run()
    after = clocks()
    return after[0] - wall, after[1] - processor


def quiet() -> bool:
    """Whether all threads of this process get a processor of their own right now."""
    square = torch.ones(1536, 1536)
    wall, processor = elapsed(lambda: [square @ square for _ in range(6)])
    return processor >= FAIR_SHARE * wall * torch.get_num_threads()


def peak_gflops() -> float:
    """Rate of the best of several large products, which stands for the multiply-add peak."""
    square = torch.ones(1024, 1024)
    best = min(min(elapsed(lambda: [square @ square for _ in range(4)])) for _ in range(8))
    return 4 * 2 * 1024**3 / best / 1e9


def measure(case: Case, rounds: int, clock: str) -> list[dict[str, object]]:
    """Rows of the results: every contender in turn in each of `rounds`.

    Of wall times the median counts; of processor times the least, since others on the machine can only add to them.

    Raises:
        BusyMachineError: with `clock` "wall", other work was running beside a round.
    """
    case.check({name: run() for name, run in case.contenders.items()})
    times: dict[str, list[float]] = {name: [] for name in case.contenders}
    for _ in range(rounds):
        if clock == "wall" and not quiet():
            raise BusyMachineError(f"{case.op} {case.shape}: wall and processor time disagree; load {os.getloadavg()}")
        for name, run in case.contenders.items():
            times[name].append(elapsed(run)[0 if clock == "wall" else 1])
    typical = statistics.median if clock == "wall" else min
    medians = {name: typical(values) for name, values in times.items()}
    base = next(iter(medians.values()))
    return [
        {
            "op": case.op,
            "shape": case.shape,
            "device": "cpu",
            "dtype": case.dtype,
            "direction": case.direction,
            "contender": name,
            "median_ms": round(1e3 * median, 2),
            "ratio": round(base / median, 2),
            "gflops": round(case.flops / median / 1e9, 1),
            "threads": torch.get_num_threads(),
            "clock": clock,
        }
        for name, median in medians.items()
    ]


def machine() -> dict[str, object]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        model = names[0] if names else model
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": [round(value, 2) for value in os.getloadavg()],
    }
