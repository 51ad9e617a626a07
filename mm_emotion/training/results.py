"""Files of result rows, and what each row says of the code and libraries that it comes from."""

import csv
import hashlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path

from mm_emotion.atomic import replace_file
from mm_emotion.errors import CorpusError

RESULT_COLUMNS = (
    "recipe", "corpus", "labels", "split", "fold", "seed", "selected_on", "causal", "parameters",
    "metric", "value", "n", "commit", "versions",
)  # fmt: skip


def result_rows(stamp: Mapping[str, object], values: Mapping[str, float], n: int) -> list[dict[str, object]]:
    """One row a metric, in RESULT_COLUMNS, with the environment filled in."""
    return [
        {**stamp, "metric": name, "value": round(float(value), 6), "n": n, "commit": commit(), "versions": versions()}
        for name, value in values.items()
    ]


def write_results(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Add rows to a results file, taking the place of rows of the same run and metric.

    Versions are written in full where they first stand in the file, behind eight letters that stand for them after.
    """
    key = tuple(
        name for name in RESULT_COLUMNS if name not in ("value", "n", "commit", "versions", "parameters", "causal")
    )
    merged = {tuple(str(row[name]) for name in key): dict(row) for row in [*read_results(path), *rows]}
    known: set[str] = set()
    with replace_file(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, RESULT_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in sorted(merged):
            text = str(merged[name]["versions"])
            letters = hashlib.sha256(text.encode()).hexdigest()[:8]
            writer.writerow({**merged[name], "versions": letters if text in known else f"{letters}: {text}"})
            known.add(text)


def read_results(path: Path) -> list[dict[str, str]]:
    """Rows of a results file with their versions in full, none where there is no file.

    Raises CorpusError when its columns differ, or versions stand nowhere in full.
    """
    if not Path(path).exists():
        return []
    with Path(path).open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != RESULT_COLUMNS:
            raise CorpusError(f"results file {path}", f"columns {', '.join(RESULT_COLUMNS)}", reader.fieldnames)
        rows = list(reader)
    texts = dict(row["versions"].split(": ", 1) for row in rows if ": " in row["versions"])
    for row in rows:
        letters, _, text = row["versions"].partition(": ")
        if not text and "=" not in letters:  # rows that name their versions themselves were written by older releases
            text = texts.get(letters, "")
            if not text:
                raise CorpusError(f"versions of results file {path}", "to stand in full in one row", repr(letters))
        row["versions"] = text or letters
    return rows


@cache
def commit() -> str:
    """Short commit of the source tree that runs, marked when it has changes; `release` for an installed package."""
    folder = Path(__file__).resolve().parent.parent.parent
    if not (folder / ".git").exists():
        return "release"

    if shutil.which("git") is None:
        return "unknown"

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = git("status", "--porcelain", "--", "mm_emotion", "csrc", "datasets_scripts")
    return (git("rev-parse", "--short", "HEAD") or "unborn") + ("+changes" if changed else "")


@cache
def versions() -> str:
    """Versions of what the numbers depend on."""
    names = ("mm_emotion", "torch", "transformers", "datasets", "accelerate", "numpy")
    return " ".join(f"{name}={version(name)}" for name in names)
