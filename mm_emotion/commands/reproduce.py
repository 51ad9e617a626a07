"""mm-emotion reproduce: run every seed of a recipe and record the results, or make a checkpoint of them."""

import argparse
from pathlib import Path

from mm_emotion.commands import _seeds
from mm_emotion.commands.leaderboard import print_leaderboard
from mm_emotion.errors import RecipeError

SUMMARY = "run every seed of a recipe and record the results beside the published figures"
EXAMPLES = """\
mm-emotion reproduce bc_lstm/iemocap_bc_lstm_text --data data/iemocap --results results.csv
mm-emotion reproduce --checkpoint iemocap-joint --data data/iemocap"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _seeds.add_arguments(parser, "seeds to run (default: all of the recipe)", recipe="?")
    parser.add_argument(
        "--results", type=Path, help="results file to add to; RESULTS.md is written beside it (needed with a recipe)"
    )
    parser.add_argument(
        "--checkpoint",
        metavar="NAME",
        help="in place of a recipe: a reference checkpoint, left in OUT/NAME with its card, ready to push",
    )


def run(options: argparse.Namespace) -> None:
    from mm_emotion.training.evaluation import read_results, write_results
    from mm_emotion.training.recipe import load_recipe

    recipe = load_recipe(_recipe_name(options), options.overrides)
    if options.results is not None:
        read_results(options.results)  # another file is refused before hours of training, not after
    outcomes = _seeds.run_seeds(options, recipe, options.seeds or recipe.protocol.seeds)
    rows = [row for outcome in outcomes.values() for row in outcome.rows]
    if rows and options.results is not None:
        write_results(options.results, rows)
        print_leaderboard(options.results)
    if rows and options.checkpoint is not None:
        from mm_emotion.hub.reference import assemble_reference

        folders = {seed: outcome.model_folder for seed, outcome in outcomes.items()}
        print(f"checkpoint {assemble_reference(folders, rows, options.out / options.checkpoint)}")


def _recipe_name(options: argparse.Namespace) -> str:
    """The recipe that is asked for by its own name or by that of a checkpoint."""
    if options.checkpoint is None:
        if options.recipe is None or options.results is None:
            raise RecipeError("reproduce", "a recipe with --results, or --checkpoint", "neither")
        return options.recipe
    from mm_emotion.hub.reference import recipe_named

    if options.recipe is not None and "=" not in options.recipe:
        raise RecipeError("recipe", "none beside --checkpoint", repr(options.recipe))
    options.overrides += [options.recipe] if options.recipe else []  # a change to the recipe, in its place
    return recipe_named(options.checkpoint)
