"""What the figures are measured on, and what it could do at best: multiply-adds, matrix products, memory."""

import ctypes
import os
import platform
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import onednn
import torch

FOLDER = Path(__file__).parent
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass
class Limits:
    """The best rates that were seen here, in GF/s and GB/s."""

    device: str = "cpu"
    fma_gflops: float | None = None  # of independent multiply-adds in registers, in float32
    product_gflops: dict[str, float] = field(default_factory=dict)  # of large matrix products, by dtype
    _read: dict[int, float] = field(default_factory=dict)

    @classmethod
    def measure(cls, device: str) -> "Limits":
        limits = cls(device, fma_gflops() if device == "cpu" else None)
        for name, dtype in DTYPES.items():
            limits.product_gflops[name] = product_gflops(device, dtype)
        return limits

    def peak(self, dtype: str) -> float:
        """What a row's percentage refers to, in GF/s."""
        found = self.product_gflops[dtype]
        return found if self.fma_gflops is None or dtype != "float32" else max(found, self.fma_gflops)

    def floor(self, flops: float, streamed: float, working_set: float, dtype: str) -> float:
        """Seconds that the arithmetic, or the reading of so many bytes out of such a working set, takes at least."""
        size = 1 << (int(max(working_set, 2**18)) - 1).bit_length()  # the next power of two
        if streamed and size not in self._read:
            self._read[size] = read_gigabytes(self.device, size)
        return max(flops / self.product_gflops[dtype] / 1e9, streamed / self._read[size] / 1e9 if streamed else 0)


def best_seconds(run: Callable[[], object], device: str, least: float = 0.3) -> float:
    """The quickest of the calls that fit into `least` seconds."""
    run()
    best, end = float("inf"), time.perf_counter() + least
    while time.perf_counter() < end:
        if device == "cuda":
            torch.cuda.synchronize()
        begin, processor = time.perf_counter(), time.process_time()
        run()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - begin
        # On one thread of a busy machine processor time is the truer one.
        best = min(best, seconds if device == "cuda" else min(seconds, time.process_time() - processor))
    return best


def product_gflops(device: str, dtype: torch.dtype, size: int = 2048) -> float:
    """Rate of a large matrix product by whichever library is fastest."""
    size = 8192 if device == "cuda" else size
    square = torch.ones(size, size, dtype=dtype, device=device)
    products = [lambda: square @ square]
    if device == "cpu" and onednn.available():
        products.append(lambda: onednn.product(square, square))
    return round(2 * size**3 / min(best_seconds(run, device) for run in products) / 1e9, 1)


def read_gigabytes(device: str, size: int) -> float:
    """Rate in GB/s at which all threads together read a working set of `size` bytes again and again."""
    values = torch.ones(size // 4, device=device)
    matrix, vector = values.view(-1, 1024), torch.ones(1024, device=device)
    readers = (values.sum, lambda: torch.dot(values, values), lambda: matrix @ vector)
    return round(size / min(best_seconds(run, device, 0.1) for run in readers) / 1e9, 1)


def fma_gflops() -> float | None:
    """Peak of float32 multiply-adds over all threads, by a small compiled loop; None without a compiler."""
    compiler = shutil.which(os.environ.get("CXX", "c++").split()[0])
    if compiler is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "fma_peak.so"
        flags = ["-O3", "-march=native", "-ffp-contract=fast", "-fPIC", "-shared"]
        done = subprocess.run([compiler, *flags, FOLDER / "fma_peak.cpp", "-o", library], capture_output=True)
        if done.returncode:
            return None
        spin = ctypes.CDLL(str(library)).multiply_add
    spin.restype, spin.argtypes = ctypes.c_double, [ctypes.c_long]
    threads, best = torch.get_num_threads(), 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(5):
            begin = time.perf_counter()
            flops = sum(pool.map(spin, [20_000_000] * threads))
            best = max(best, flops / (time.perf_counter() - begin) / 1e9)
    return round(best, 1)


def commit() -> str:
    """The commit that is measured, with a `+` where the checkout has changes besides results; empty without git."""
    try:
        head = subprocess.run(["git", "rev-parse", "--short=10", "HEAD"], cwd=FOLDER, capture_output=True, text=True)
        if head.returncode:
            return ""
        status = ["git", "status", "--porcelain", "--", "..", ":!results"]
        changed = subprocess.run(status, cwd=FOLDER, capture_output=True, text=True).stdout
    except OSError:
        return ""
    return head.stdout.strip() + ("+" if changed.strip() else "")


def facts(device: str, limits: Limits) -> dict[str, object]:
    """What the figures were measured on."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    return {
        "processor": torch.cuda.get_device_name() if device == "cuda" else model,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "load": [round(value, 2) for value in os.getloadavg()],
        "fma_gflops": limits.fma_gflops,
        "product_gflops": limits.product_gflops,
    }
