"""mm-emotion push: a saved system or a prepared dataset to the Hub."""

import argparse
import re
from pathlib import Path

from mm_emotion.commands._consent import add_consent_arguments

SUMMARY = "publish a saved system, or a prepared dataset whose terms allow it, on the Hub in one commit"
EXAMPLES = """\
mm-emotion push build/demo/model org/iemocap-joint --dry-run
mm-emotion push build/demo/model org/iemocap-joint --license cc-by-nc-4.0 --corpus-terms 'research only'
mm-emotion push data/ravdess org/ravdess-prepared --license cc-by-nc-sa-4.0 --corpus-terms 'CC BY-NC-SA 4.0'"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="folder of a saved system or of a prepared dataset")
    parser.add_argument("repository", metavar="OWNER/NAME")
    add_consent_arguments(parser)
    parser.add_argument("--public", action="store_true", help="for everyone to see (default: private)")
    parser.add_argument("--dry-run", action="store_true", help="show the files and the card, and send nothing")


def run(options: argparse.Namespace) -> None:
    from mm_emotion.errors import CheckpointError
    from mm_emotion.hub import dataset, push
    from mm_emotion.pipeline import quiet_loading

    quiet_loading()
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", options.repository, re.ASCII):
        raise CheckpointError("repository", "owner/name", repr(options.repository))
    stated = {"license": options.license, "corpus_terms": options.corpus_terms}
    is_dataset = dataset.is_prepared(options.folder)
    if options.dry_run:
        plan = dataset.plan_dataset if is_dataset else push.plan_system
        print(plan(options.folder, options.repository, **stated).describe())
        absent = [f"--{name.replace('_', '-')}" for name, given in stated.items() if not given]
        if absent:
            print(f"\nnot sent; a push also needs {' and '.join(absent)}")
        return
    send = dataset.push_dataset if is_dataset else push.push_system
    print(f"pushed {send(options.folder, options.repository, private=not options.public, **stated)}")
