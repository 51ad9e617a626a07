"""mm-emotion figures: pictures of a run, or of a file of results."""

import argparse
from pathlib import Path

from mm_emotion.commands._data import add_data_argument

SUMMARY = "draw a run (confusions, t-SNE, calibration, modalities, curves) or a results file (seeds, parameters)"
EXAMPLES = """\
mm-emotion figures runs/…/seed0 --data data/iemocap --out build/figures
mm-emotion figures model_cards/results.csv"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, help="folder of a run or of its saved system, or a results file (.csv)")
    add_data_argument(parser)
    parser.add_argument("--part", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--out", type=Path, default=Path("build/figures"))


def run(options: argparse.Namespace) -> None:
    from mm_emotion.pipeline import quiet_loading
    from mm_emotion.training.pictures import draw_results, draw_run, model_folder
    from mm_emotion.training.reproduction import open_corpus_of
    from mm_emotion.training.saved import recipe_of

    quiet_loading()
    if options.source.suffix == ".csv":
        print(f"drew {draw_results(options.source, options.out)} systems into {options.out}")
        return
    corpus = open_corpus_of(recipe_of(model_folder(options.source)), options.data)
    for name, value in draw_run(options.source, corpus, options.part, options.out).items():
        shown = value if not isinstance(value, dict) else ", ".join(f"{key} {part:.3f}" for key, part in value.items())
        print(f"{name.replace('_', ' ')}: {shown if not isinstance(value, float) else f'{value:.3f}'}")
    print(f"drew into {options.out}")
