"""mm-emotion list: the recipes and the model families of the package."""

import argparse
import json

from mm_emotion.errors import RecipeError

SUMMARY = "the recipes of this package: model, modalities, causal or not, published figures; or its model families"
EXAMPLES = """\
mm-emotion list --paper dialogue_rnn --modality text
mm-emotion list --families --json"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--paper", help="only the recipes of this folder")
    parser.add_argument("--modality", action="append", help="only recipes that read this modality; may be repeated")
    parser.add_argument("--families", action="store_true", help="the model families and not the recipes")
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(options: argparse.Namespace) -> None:
    if options.families:
        if options.paper is not None or options.modality:
            raise RecipeError("--families", "neither --paper nor --modality, which choose recipes", "both")
        from mm_emotion.training.families import families

        known = families()
        lines = [f"{family['model_type']}: {family['summary']}" for family in known]
        print(json.dumps({"families": known}, indent=2, ensure_ascii=False) if options.json else "\n".join(lines))
        return
    from mm_emotion.training.catalogue import described, entries, table

    found = entries(options.paper, options.modality or [])
    if options.json:
        print(json.dumps({"recipes": [described(entry) for entry in found]}, indent=2, ensure_ascii=False))
        return
    print(table(found))
    print(f"{len(found)} recipes; published figures are percent of the paper's own protocol")
