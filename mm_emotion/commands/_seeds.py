"""What `train` and `reproduce` share: their options, and the runs of a recipe's seeds."""

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from mm_emotion.commands._data import add_data_argument
from mm_emotion.errors import MissingLibraryError

if TYPE_CHECKING:
    from mm_emotion.training.reproduction import Outcome

TRACKERS = ("tensorboard", "wandb", "mlflow", "comet_ml")


def add_arguments(parser: argparse.ArgumentParser, seeds_help: str, recipe: str | None = None) -> None:
    """Add the options of a run; `recipe` says how many recipes are given, None for the one that must be."""
    parser.add_argument("recipe", nargs=recipe, help="a name from `mm-emotion list` or a YAML file")
    parser.add_argument("overrides", nargs="*", metavar="section.key=value", help="changes to the recipe")
    add_data_argument(parser)
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for runs (default: runs)")
    parser.add_argument("--seeds", type=_seed, nargs="+", metavar="SEED", help=seeds_help)
    parser.add_argument("--tracker", choices=TRACKERS, help="log the curves there too")
    parser.add_argument(
        "--state-seconds", type=float, default=30.0, help="save the training state this often (default: 30)"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress bars")


def _seed(word: str) -> int | str:
    """A seed, or a change to the recipe that stands behind the seeds."""
    if "=" in word:
        return word
    if not word.lstrip("-").isdecimal():
        raise argparse.ArgumentTypeError(f"{word!r} is no seed")
    return int(word)


def run_seeds(options: argparse.Namespace, recipe, seeds: Sequence[int], start=None) -> dict[int, "Outcome"]:
    """Train and evaluate a recipe for each seed; seed -> what it left, on the main process alone.

    `start` is a saved system, model and processor, to go on from.
    """
    import datasets

    from mm_emotion.pipeline import quiet_loading
    from mm_emotion.training.recipe import check_seeds
    from mm_emotion.training.reproduction import make_accelerator, run_seed

    check_seeds("--seeds", seeds)
    if options.tracker is not None and find_spec(options.tracker) is None:
        raise MissingLibraryError(options.tracker, options.tracker.replace("_", "-"))
    if options.quiet:
        datasets.disable_progress_bars()
        quiet_loading()
    recipe, corpus, split = _open(options, recipe)
    accelerator = make_accelerator(recipe, options.tracker, options.out)
    outcomes = {}
    for seed in seeds:
        outcomes[seed] = run_seed(
            recipe,
            corpus,
            split,
            seed=seed,
            out=options.out,
            accelerator=accelerator,
            progress_bar=not options.quiet,
            state_seconds=options.state_seconds,
            start=start,
        )
        if accelerator.is_main_process:
            _print_outcome(recipe, seed, outcomes[seed])
    accelerator.wait_for_everyone()
    accelerator.end_training()
    return outcomes if accelerator.is_main_process else {}


def _open(options: argparse.Namespace, recipe):
    from mm_emotion.data.splits import resolve_split
    from mm_emotion.training.reproduction import open_corpus_of, resolve_labels

    recipe = resolve_labels(recipe, options.data)
    corpus = open_corpus_of(recipe, options.data)
    return recipe, corpus, resolve_split(corpus, recipe.corpus.split)


def _print_outcome(recipe, seed: int, outcome) -> None:
    for row in outcome.rows:
        if row["fold"] == "test" and not row["metric"].endswith(("_low", "_high")):
            published = recipe.published_value(row["metric"])
            beside = f"; published {published:.4f}" if published is not None else ""
            chosen = f"epoch chosen on {row['selected_on']}{beside}"
            print(f"{recipe.name} seed {seed}: test {row['metric']} {row['value']:.4f} ({chosen})")
    for note in outcome.notes:
        print(f"note: {note}")
    print(f"saved {outcome.model_folder}")
