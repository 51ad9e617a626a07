"""Speed of every op beside its contenders, as JSON and as a table: `python benchmarks/run.py`.

Figures of a busy machine mean nothing: unless each round finds all threads with a processor of their own, nothing is
reported. `--clock cpu` takes processor time on one thread instead, which is less exact but stands some company.
"""

import argparse
import json
import re
from pathlib import Path

import fusion
import scan
import torch
from timing import BusyMachineError, machine, measure, peak_gflops

RESULTS = Path(__file__).parent / "results"


def table(rows: list[dict[str, object]], facts: dict[str, object]) -> str:
    """The Markdown page of one machine's results."""
    clock = "Medians in wall time" if rows[0]["clock"] == "wall" else "Least processor time, on a shared machine"
    lines = [
        f"# Speed on {facts['processor']}",
        "",
        f"{clock}, {facts['threads']} thread(s), torch {facts['torch']}, load {facts['load']}; large matrix "
        f"products reach {facts['peak_gflops']:.0f} GF/s. Ratio: times as fast as the first contender of the group.",
        "",
        "| op | shape | direction | contender | ms | ratio | GF/s | % of peak |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        share = 100 * row["gflops"] / facts["peak_gflops"]
        cells = [row[name] for name in ("op", "shape", "direction", "contender", "median_ms", "ratio", "gflops")]
        lines.append("| " + " | ".join(map(str, [*cells, f"{share:.0f}"])) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the benchmarks that the command line names, and write their results."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("ops", nargs="*", default=["scan", "fusion"], help="scan, fusion; both by default")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    torch.set_num_threads(1 if arguments.clock == "cpu" else arguments.threads)
    facts = machine() | {"peak_gflops": round(peak_gflops(), 1)}
    print(facts)
    rows = []
    try:
        for cases in (module.cases() for name, module in (("scan", scan), ("fusion", fusion)) if name in arguments.ops):
            for case in cases:
                found = measure(case, arguments.rounds, arguments.clock)
                for row in found:
                    print(*(f"{row[name]}" for name in ("op", "shape", "direction", "contender", "median_ms", "ratio")))
                for name, reason in case.left_out.items():
                    print(f"{case.op} {case.shape}: {name} left out, {reason}")
                rows += found
    except BusyMachineError as error:
        print(f"nothing reported: {error}")
        return 1
    arguments.out.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "_", f"{facts['processor']} {facts['cores']} cores".lower()).strip("_")
    (arguments.out / f"{name}.json").write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n")
    (arguments.out / f"{name}.md").write_text(table(rows, facts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
