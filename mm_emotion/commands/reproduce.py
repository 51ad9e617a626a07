"""mm-emotion reproduce: run every seed of a recipe and record the results."""

import argparse
from pathlib import Path

from mm_emotion.commands import _seeds
from mm_emotion.commands.leaderboard import print_leaderboard

SUMMARY = "run every seed of a recipe and record the results beside the published figures"
EXAMPLES = "mm-emotion reproduce bc_lstm/iemocap_bc_lstm_text --data data/iemocap --results results.csv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _seeds.add_arguments(parser, "seeds to run (default: all of the recipe)")
    parser.add_argument(
        "--results", type=Path, required=True, help="results file to add to; RESULTS.md is written beside it"
    )


def run(options: argparse.Namespace) -> None:
    from mm_emotion.training.evaluation import write_results
    from mm_emotion.training.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.overrides)
    rows = _seeds.run_seeds(options, recipe, options.seeds or recipe.protocol.seeds)
    if rows:
        write_results(options.results, rows)
        print_leaderboard(options.results)
