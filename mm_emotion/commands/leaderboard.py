"""mm-emotion leaderboard: a results file as a table."""

import argparse
from pathlib import Path

from mm_emotion.errors import RecipeError

SUMMARY = "render a results file as Markdown"
EXAMPLES = "mm-emotion leaderboard model_cards/results.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path)


def run(options: argparse.Namespace) -> None:
    if not options.results.is_file():
        raise RecipeError("results", "an existing results file", repr(str(options.results)))
    print_leaderboard(options.results)


def print_leaderboard(results: Path) -> None:
    """Write RESULTS.md beside a results file and print it."""
    from mm_emotion.training.report import write_leaderboard

    print(write_leaderboard(results), end="")
