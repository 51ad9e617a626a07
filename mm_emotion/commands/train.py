"""mm-emotion train: train one recipe, or go on from a saved system on a table of one's own."""

import argparse
from pathlib import Path

from mm_emotion.commands import _seeds

SUMMARY = "train one recipe for one or more seeds; accelerate launch train.py takes the same words"
EXAMPLES = """\
mm-emotion train bc_lstm/iemocap_bc_lstm_text --data data/iemocap training.learning_rate=1e-3
mm-emotion train --data my.csv --from runs/…/seed0/model training.epochs=10
accelerate launch train.py dialogue_rnn/iemocap_bidialogue_rnn_att_text --data data/iemocap --seeds 0 1 2"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _seeds.add_arguments(parser, "seeds to run (default: the recipe's first)", recipe="?")
    parser.add_argument(
        "--from",
        dest="start",
        metavar="MODEL",
        help="saved system to go on from, a folder or a Hub id, in place of a recipe; needs --data",
    )


def run(options: argparse.Namespace) -> None:
    from mm_emotion.errors import RecipeError
    from mm_emotion.training.recipe import load_recipe

    if options.start is not None:
        _fine_tune(options)
        return
    if options.recipe is None:
        raise RecipeError("recipe", "a name from `mm-emotion list`, a YAML file, or --from MODEL", "none")
    recipe = load_recipe(options.recipe, options.overrides)
    _seeds.run_seeds(options, recipe, options.seeds or recipe.protocol.seeds[:1])


def _fine_tune(options: argparse.Namespace) -> None:
    import yaml

    from mm_emotion.data.corpus import load_prepared
    from mm_emotion.errors import CorpusError, RecipeError
    from mm_emotion.pipeline import load_system, quiet_loading, system_folder
    from mm_emotion.training.fine_tuning import check_trainable, head_line, recipe_on_table
    from mm_emotion.training.recipe import parse_recipe
    from mm_emotion.training.saved import recipe_of

    quiet_loading()
    # Without a recipe the first of the words is a change to one.
    overrides = [*([options.recipe] if options.recipe else []), *options.overrides]
    if options.recipe and "=" not in options.recipe:
        raise RecipeError("recipe", "none beside --from", repr(options.recipe))
    if options.data is None:
        raise RecipeError("--data", "your table or prepared folder, with --from", "none")
    if not options.data.exists():
        raise CorpusError("--data", "your table or prepared folder", f"{str(options.data)!r}, which is neither")
    folder = system_folder(options.start)
    saved, start = recipe_of(folder), load_system(folder)
    check_trainable(saved)
    name = options.data.stem
    if options.data.is_file():
        options.data = _prepared(options.data, options.out / "data" / name)
    recipe = recipe_on_table(saved, load_prepared(options.data), f"fine_tuned/{name}")
    recipe = parse_recipe(yaml.safe_dump(recipe.to_dict()), recipe.name, overrides)
    print(head_line(saved, recipe))
    _seeds.run_seeds(options, recipe, options.seeds or recipe.protocol.seeds[:1], start)


def _prepared(table: Path, out: Path) -> Path:
    """The folder `out` with the prepared rows of a table; prints its labels and counts."""
    import datasets

    from datasets_scripts._builder import prepare
    from datasets_scripts.table import Table

    datasets.disable_progress_bars()
    print(prepare(Table, None, table, out).table())
    print(f"prepared {out}")
    return out
