"""Speed of every op beside its contenders, as JSON and as a table: `python benchmarks/run.py`.

Figures of a busy machine mean nothing: unless each round finds all threads with a processor of their own, the case is
not reported, nor any that would follow; those before it are. `--clock cpu` takes processor time on one thread instead,
which is less exact but stands some company.
"""

import argparse
from pathlib import Path

import alignment
import fusion
import latency
import machine
import product
import report
import scan
import startup
import torch
import training
from timing import BusyMachineError, measure, wait_for_quiet

GROUPS = {
    "scan": scan,
    "fusion": fusion,
    "product": product,
    "epoch": training,
    "latency": latency,
    "alignment": alignment,
    "startup": startup,
}


def main() -> int:
    """Run the benchmarks that the command line names, and write their results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("groups", nargs="*", help=f"{', '.join(GROUPS)}; all by default")
    parser.add_argument("--only", default="", help="cases whose label holds this text, as in --only 'B1 '")
    parser.add_argument("--list", action="store_true", help="print the labels and end")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    arguments = parser.parse_args()
    if unknown := set(arguments.groups) - set(GROUPS):
        parser.error(f"unknown group {', '.join(sorted(unknown))}: choose from {', '.join(GROUPS)}")
    chosen = [GROUPS[name] for name in arguments.groups] or list(GROUPS.values())
    cases = [case for group in chosen for case in group.cases(arguments.device) if arguments.only in case.label]
    if arguments.list:
        print(*(case.label for case in cases), sep="\n")
        return 0
    torch.set_num_threads(1 if arguments.clock == "cpu" else arguments.threads)
    if arguments.device == "cuda":
        torch.backends.cudnn.allow_tf32 = False  # float32 means float32 for every contender
    rows: list[dict[str, object]] = []
    try:
        if arguments.clock == "wall":
            wait_for_quiet("rates of the machine")
        limits = machine.Limits.measure(arguments.device)
        facts = machine.facts(arguments.device, limits) | {"commit": machine.commit(), "clock": arguments.clock}
        print(facts)
        for case in cases:
            print(f"\n{case.label}", flush=True)
            found, left_out = measure(case, arguments.rounds, arguments.clock, limits)
            report.show(found, left_out)
            rows += [row | {"commit": facts["commit"]} for row in found]
    except BusyMachineError as error:
        print(f"nothing reported: {error}")
        return 1
    finally:
        if rows:
            print("", *report.write(arguments.out, facts, rows), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
