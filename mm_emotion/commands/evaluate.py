"""mm-emotion evaluate: a saved system on one part of a corpus."""

import argparse
from pathlib import Path

from mm_emotion.commands._data import add_data_argument

SUMMARY = "evaluate a saved system and write report.md, confusion_matrix.png and results.csv"
EXAMPLES = "mm-emotion evaluate runs/…/seed0/model --data data/iemocap --out build/report"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help="folder of a saved system or a Hub id")
    add_data_argument(parser)
    parser.add_argument("--part", default="test", choices=["train", "validation", "test"])
    parser.add_argument("--against", help="another saved system to compare with on the same rows")
    parser.add_argument("--out", type=Path, default=Path("build/report"))


def run(options: argparse.Namespace) -> None:
    from mm_emotion.pipeline import quiet_loading, system_folder
    from mm_emotion.training.report import write_report
    from mm_emotion.training.reproduction import open_corpus_of
    from mm_emotion.training.saved import evaluate_folder, recipe_of

    quiet_loading()
    model = system_folder(options.model)
    corpus = open_corpus_of(recipe_of(model), options.data)
    evaluation = evaluate_folder(model, corpus, options.part)
    against = evaluate_folder(system_folder(options.against), corpus, options.part) if options.against else None
    print(write_report(evaluation, options.out, against), end="")
