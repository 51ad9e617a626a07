"""mm-emotion leaderboard: a results file as tables."""

import argparse
import sys
from pathlib import Path

from mm_emotion.errors import RecipeError

SUMMARY = "render a results file as Markdown and as a page, strict and legacy apart"
EXAMPLES = "mm-emotion leaderboard model_cards/results.csv --html build/results.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", type=Path)
    parser.add_argument("--html", type=Path, metavar="FILE", help="also write a static page there")


def run(options: argparse.Namespace) -> None:
    if not options.results.is_file():
        raise RecipeError("results", "an existing results file", repr(str(options.results)))
    print_leaderboard(options.results)
    if options.html is not None:
        from mm_emotion.training.leaderboard_page import write_page

        write_page(options.results, options.html)
        print(f"wrote {options.html}", file=sys.stderr)


def print_leaderboard(results: Path) -> None:
    """Write RESULTS.md beside a results file and print it."""
    from mm_emotion.training.report import write_leaderboard

    print(write_leaderboard(results), end="")
