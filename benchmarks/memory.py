"""The most memory that a contender for the tensor fusion takes beyond its inputs, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

import torch

STATUS, REFERENCES = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def of_fusion(batch: int, direction: str, contender: str) -> float | None:
    """Megabytes at the peak of one run, results included; None where the system does not tell."""
    if not STATUS.exists():
        return None
    arguments = [sys.executable, __file__, str(batch), direction, contender, str(torch.get_num_threads())]
    return float(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)


def resident(which: str) -> int:
    """Kilobytes of this process, now (VmRSS) or at most so far (VmHWM)."""
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(which))
    return int(line.split()[1])


def main(batch: str, direction: str, contender: str, threads: str) -> None:
    import fusion

    torch.set_num_threads(int(threads))
    # A few rows first: they load the code and start the threads.
    fusion.case(2, direction, sizes=(3, 2, 2)).build().contenders[contender]()
    run = fusion.case(int(batch), direction).build().contenders[contender]
    REFERENCES.write_text("5")  # the high-water mark starts anew
    before = resident("VmRSS")
    run()
    print(round((resident("VmHWM") - before) / 1024, 1))


if __name__ == "__main__":
    main(*sys.argv[1:])
