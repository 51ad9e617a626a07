"""mm-emotion list: the recipes of the package."""

import argparse

SUMMARY = "the recipes of this package: model, modalities, causal or not, published figures"
EXAMPLES = "mm-emotion list --paper dialogue_rnn --modality text"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--paper", help="only the recipes of this folder")
    parser.add_argument("--modality", action="append", help="only recipes that read this modality; may be repeated")


def run(options: argparse.Namespace) -> None:
    from mm_emotion.training.catalogue import entries, table

    found = entries(options.paper, options.modality or [])
    print(table(found))
    print(f"{len(found)} recipes; published figures are percent of the paper's own protocol")
