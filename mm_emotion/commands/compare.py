"""mm-emotion compare: recipes beside each other, over their seeds."""

import argparse
from pathlib import Path

from mm_emotion.commands._data import add_data_argument

SUMMARY = "what choosing the epoch on the test part is worth, and which differences between recipes are real"
EXAMPLES = "mm-emotion compare bc_lstm/iemocap_bc_lstm_text dialogue_rnn/iemocap_cmn_text --runs runs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipes", nargs="+", help="in the order to list them")
    add_data_argument(parser)
    parser.add_argument("--results", type=Path, default=Path("model_cards/results.csv"), help="written by reproduce")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="folder with the systems of all seeds")


def run(options: argparse.Namespace) -> None:
    from mm_emotion.pipeline import quiet_loading
    from mm_emotion.training.comparison import compare

    quiet_loading()
    print(compare(options.recipes, options.results, options.runs, options.data), end="")
