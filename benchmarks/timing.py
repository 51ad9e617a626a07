"""Timing contenders in turn, and refusing where the machine is too busy for a figure to mean anything."""

import os
import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from machine import Limits

FAIR_SHARE = 0.9  # of the processor time that a quiet machine gives to its threads
LOOKS = 5  # at a busy machine, two seconds apart, before giving up
LEAST_SECONDS = 0.02  # that one timing lasts; what is quicker is called several times
CASE_SECONDS = 60.0  # after which a case ends with fewer rounds, but never fewer than three

Contender = Callable[[], object]


class BusyMachineError(RuntimeError):
    """Wall and processor time disagree: something else runs here."""


@dataclass
class Contest:
    """Contenders that compute the same from the same tensors; ratios refer to the first."""

    contenders: dict[str, Contender]
    check: Callable[[dict[str, object]], None]  # raises where results differ; by contender
    left_out: dict[str, str] = field(default_factory=dict)  # contender -> why it does not run here


@dataclass
class Case:
    """What is compared at which shape; its contenders are built when its turn comes."""

    op: str
    shape: str
    direction: str  # "forward", "forward+backward" or, of what is no network, "call"
    build: Callable[[], Contest]
    flops: float | None = None  # of the forward or of both, as the best contender computes it; None: no rate
    streamed: tuple[float, float] = (0, 1)  # bytes that must be read or written, out of a working set of how many
    dtype: str = "float32"
    device: str = "cpu"
    extra_megabytes: Callable[[str], float | None] | None = None  # of a contender, on a CPU
    calls: int = 0  # to be timed one by one, for their median and 95th percentile, in place of rounds

    @property
    def label(self) -> str:
        return f"{self.op} {self.shape} {self.direction} {self.dtype}".rstrip()


def agree(results: dict[str, object], dtype: str = "float32") -> None:
    """Every contender's tensors are those of the first but for rounding.

    Raises:
        AssertionError: they are not; it names the contender.
    """
    (_, expected), *others = results.items()
    for name, result in others:
        for place, (one, other) in enumerate(zip(expected, result, strict=True)):
            # Over all values together: roundings pile up unevenly along a recurrence.
            off = float((one.double() - other.double()).norm())
            most = (5e-2 if dtype == "bfloat16" else 5e-4) * float(one.double().norm()) + 1e-6
            assert one.shape == other.shape and off <= most, (
                f"{name}: result {place} is off by {off:.2g}, not {most:.2g}"
            )


def processor_seconds() -> float:
    """Processor time of this process and of those that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def elapsed(run: Contender, times: int = 1, device: str = "cpu") -> tuple[float, float]:
    """Wall and processor seconds of one call, on average over `times` in a row."""
    wall, processor = time.perf_counter(), processor_seconds()
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
    for _ in range(times):
        run()
    if device == "cuda":
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1e3 / times, (processor_seconds() - processor) / times
    return (time.perf_counter() - wall) / times, (processor_seconds() - processor) / times


def quiet() -> bool:
    """Whether all threads of this process get a processor of their own right now."""
    square = torch.ones(1536, 1536)
    wall, processor = elapsed(lambda: [square @ square for _ in range(6)])
    return processor >= FAIR_SHARE * wall * torch.get_num_threads()


def wait_for_quiet(label: str) -> None:
    """Return once the machine is quiet; raises BusyMachineError where it stays busy."""
    for look in range(LOOKS):
        if look:
            time.sleep(2)
        if quiet():
            return
    raise BusyMachineError(f"{label}: wall and processor time disagree; load {os.getloadavg()}")


def measure(case: Case, rounds: int, clock: str, limits: Limits) -> tuple[list[dict[str, object]], dict[str, str]]:
    """Rows of the results, and what was left out: every contender in turn in each of `rounds`.

    Of wall times the median counts; of processor times the least, since others on the machine can only add to them.

    Raises:
        BusyMachineError: with `clock` "wall", other work kept running before a round.
        AssertionError: the contenders do not agree.
    """
    contest = case.build()
    results, first = {}, {}
    for name, run in contest.contenders.items():
        first[name] = elapsed(lambda name=name, run=run: results.update({name: run()}), device=case.device)[0]
    contest.check(results)
    results.clear()
    # A first call compiles and allocates, so that of what compiles, or is quick, a second one tells how long it takes.
    typical = {
        name: elapsed(contest.contenders[name], device=case.device)[0]
        if "compiled" in name or seconds < LEAST_SECONDS
        else seconds
        for name, seconds in first.items()
    }
    repeats = {name: max(1, min(1000, int(LEAST_SECONDS / seconds))) for name, seconds in typical.items()}
    total = sum(max(seconds, LEAST_SECONDS) for seconds in typical.values())
    rounds = 0 if case.calls else max(min(rounds, 3), min(rounds, int(CASE_SECONDS / total)))
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contest.contenders}
    if case.calls:
        if clock == "wall":
            wait_for_quiet(case.label)
        times = {name: one_by_one(run, case.calls, case.device) for name, run in contest.contenders.items()}
    for _ in range(rounds):
        if clock == "wall":
            wait_for_quiet(case.label)
        for name, run in contest.contenders.items():
            times[name].append(elapsed(run, repeats[name], case.device))
    walls = {name: statistics.median(wall for wall, _ in values) for name, values in times.items()}
    processors = {name: statistics.median(processor for _, processor in values) for name, values in times.items()}
    if clock == "cpu" and not case.calls:
        walls = processors = {name: min(processor for _, processor in values) for name, values in times.items()}
    elif clock == "cpu":
        walls = processors
    base = next(iter(walls.values()))

    def row(name: str, seconds: float) -> dict[str, object]:
        rate = None if case.flops is None else case.flops / seconds / 1e9
        return {
            "op": case.op,
            "shape": case.shape,
            "device": case.device,
            "dtype": case.dtype,
            "direction": case.direction,
            "contender": name,
            "median_ms": float(f"{1e3 * seconds:.4g}"),
            "ratio": round(base / seconds, 2),
            "gflops": None if rate is None else round(rate, 1),
            "percent_of_peak": None if rate is None else round(100 * rate / limits.peak(case.dtype), 1),
            "threads": torch.get_num_threads(),
            "clock": clock,
        }

    rows = []
    for name, seconds in walls.items():
        rows.append(row(name, seconds))
        rows[-1]["processor_ms"] = float(f"{1e3 * processors[name]:.4g}")
        rows[-1]["first_call_s"] = round(first[name], 2)
        if case.calls:
            taken = [seconds[clock == "cpu"] for seconds in times[name]]
            rows[-1]["p95_ms"] = float(f"{1e3 * statistics.quantiles(taken, n=20)[-1]:.4g}")
            rows[-1]["calls"] = len(taken)
        rows[-1]["extra_mb"] = extra_megabytes(case, name, contest.contenders[name])
    if case.flops is not None:
        rows.append(row("floor", limits.floor(case.flops, *case.streamed, case.dtype)))
    return rows, contest.left_out


def one_by_one(run: Contender, calls: int, device: str) -> list[tuple[float, float]]:
    """Wall and processor seconds of each of `calls`; fewer where they would take too long, but never below twenty."""
    taken: list[tuple[float, float]] = []
    latest = time.perf_counter() + CASE_SECONDS / 3
    while len(taken) < 20 or (len(taken) < calls and time.perf_counter() < latest):
        taken.append(elapsed(run, 1, device))
    return taken


def extra_megabytes(case: Case, name: str, run: Contender) -> float | None:
    """Memory that a contender takes at its peak beyond its inputs; None where that is not measured."""
    if case.device != "cuda":
        return None if case.extra_megabytes is None else case.extra_megabytes(name)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    run()
    return round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)
