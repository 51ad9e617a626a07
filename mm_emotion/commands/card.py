"""mm-emotion card: the model card of a saved system."""

import argparse
from pathlib import Path

from mm_emotion.commands._consent import add_consent_arguments

SUMMARY = "write README.md, the confusion matrix and evaluation metadata into the folder of a saved system"
EXAMPLES = """\
mm-emotion card build/demo/model
mm-emotion card build/demo/model --name org/iemocap-joint --license cc-by-nc-4.0 --corpus-terms 'research only'"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of a saved system")
    parser.add_argument("--name", help="repository that the card's snippet loads (default: the folder)")
    add_consent_arguments(parser)


def run(options: argparse.Namespace) -> None:
    from mm_emotion.hub.card import write_card
    from mm_emotion.hub.terms import consent
    from mm_emotion.pipeline import quiet_loading
    from mm_emotion.training.saved import recipe_of

    quiet_loading()
    stated = None
    if options.license is not None or options.corpus_terms is not None:
        stated = consent(options.license, options.corpus_terms, recipe_of(options.folder).corpus.name)
    write_card(options.folder, options.name or str(options.folder), stated)
    print(f"wrote {options.folder / 'README.md'}")
