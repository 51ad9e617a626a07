"""Results on disk: rows as JSON, merged with those of the same machine and commit, and a table of them."""

import json
import re
from pathlib import Path

COLUMNS = ("op", "shape", "dtype", "direction", "contender", "median_ms", "ratio", "gflops", "percent_of_peak")
TITLES = ("op", "shape", "dtype", "direction", "contender", "ms", "ratio", "GF/s", "% of peak")
SAME = ("processor", "cores", "threads", "torch", "commit", "clock")  # what rows of one file have in common
KEY = ("op", "shape", "dtype", "direction")


def show(rows: list[dict[str, object]], left_out: dict[str, str]) -> None:
    """Print the rows of one case, and why others are missing."""
    for row in rows:
        percent = "" if row["percent_of_peak"] is None else f"{row['percent_of_peak']:.0f} % of peak"
        megabytes = "" if row.get("extra_mb") is None else f"{row['extra_mb']} MB"
        late = f"p95 {row['p95_ms']} ms of {row['calls']}" if "p95_ms" in row else ""
        print(f"  {row['contender']:42} {row['median_ms']:>9} ms {row['ratio']:>7} x {percent:>17} {megabytes}{late}")
    for name, reason in left_out.items():
        print(f"  {name:42} left out: {reason}", flush=True)


def write(folder: Path, facts: dict[str, object], rows: list[dict[str, object]]) -> list[Path]:
    """Write `<machine>.json` and `.md`; rows that are there stay unless measured again, or of another commit."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{facts['processor']} {facts['cores']} cores".lower()
    page = folder / f"{re.sub(r'[^a-z0-9]+', '_', name).strip('_')}.md"
    results = page.with_suffix(".json")
    if results.exists():
        earlier = json.loads(results.read_text())
        if all(earlier["machine"].get(fact) == facts[fact] for fact in SAME):
            again = {tuple(row[name] for name in KEY) for row in rows}
            rows = [row for row in earlier["rows"] if tuple(row[name] for name in KEY) not in again] + rows
    results.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1) + "\n")
    page.write_text(table(rows, facts))
    return [results, page]


def table(rows: list[dict[str, object]], facts: dict[str, object]) -> str:
    """The Markdown page of one machine's results."""
    clock = "Medians in wall time" if facts["clock"] == "wall" else "Least processor time, on a shared machine"
    rates = ", ".join(f"{rate:.0f} GF/s in {dtype}" for dtype, rate in facts["product_gflops"].items())
    if facts["fma_gflops"]:
        rates += f"; multiply-adds in registers {facts['fma_gflops']:.0f} GF/s in float32"
    lines = [
        f"# Speed on {facts['processor']}",
        "",
        f"{clock}, {facts['threads']} thread(s), torch {facts['torch']}, commit {facts['commit']}, load "
        f"{facts['load']}. Large matrix products reach {rates}; the better of both is the peak. Ratio: times as fast "
        "as the first contender of the group. Floor: the time that the arithmetic at the rate of large products, or "
        "the reading of the weights, takes at least. MB: most memory beyond the inputs. First call: seconds, where it "
        "compiles. p95: 95th percentile in ms, where calls were timed one by one.",
        "",
        "| " + " | ".join([*TITLES, "p95", "MB", "first call"]) + " |",
        "|" + "---|" * (len(TITLES) + 3),
    ]
    for row in rows:
        first = row.get("first_call_s", 0)
        slow = first > 2 + row["median_ms"] / 1e3 * 2
        cells = [*(row[name] for name in COLUMNS), row.get("p95_ms"), row.get("extra_mb"), first if slow else None]
        lines.append("| " + " | ".join("" if cell is None else str(cell) for cell in cells) + " |")
    return "\n".join(lines) + "\n"
