"""mm-emotion encode: hidden states of a saved system as a feature column."""

import argparse
from pathlib import Path

from mm_emotion.commands._data import add_data_argument

SUMMARY = "hidden states of a saved utterance model as a feature column of a prepared dataset"
EXAMPLES = """\
mm-emotion encode --model runs/thesis/iemocap_text_cnn/seed0/model --data data/iemocap \\
    --column text --out data/iemocap_encoded"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="folder of a saved system or a Hub id")
    add_data_argument(parser)
    parser.add_argument("--column", required=True, choices=["text", "audio", "visual", "mocap"])
    parser.add_argument("--out", type=Path, required=True)


def run(options: argparse.Namespace) -> None:
    from mm_emotion.pipeline import quiet_loading, system_folder
    from mm_emotion.training.reproduction import open_corpus_of
    from mm_emotion.training.saved import encode_folder, recipe_of

    quiet_loading()
    folder = system_folder(options.model)
    corpus = open_corpus_of(recipe_of(folder), options.data)
    encode_folder(folder, corpus, options.column, options.out)
    print(f"wrote {options.out}")
