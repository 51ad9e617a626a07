"""mm-emotion prepare: a raw corpus folder becomes a prepared dataset."""

import argparse
from importlib import import_module

SUMMARY = "raw corpus folder -> prepared dataset"
EXAMPLES = """\
mm-emotion prepare iemocap --data-dir /corpora/IEMOCAP_full_release --out data/iemocap --config six_way
mm-emotion prepare table --data my.csv --out data/mine
mm-emotion prepare iemocap --help"""
CORPORA = {
    "cmu_mosei": ("datasets_scripts.cmu_mosei", "CmuMosei"),
    "cmu_mosi": ("datasets_scripts.cmu_mosi", "CmuMosi"),
    "iemocap": ("datasets_scripts.iemocap", "Iemocap"),
    "meld": ("datasets_scripts.meld", "Meld"),
    "recola": ("datasets_scripts.recola", "Recola"),
    "semaine": ("datasets_scripts.semaine", "Semaine"),
    "sewa": ("datasets_scripts.sewa", "Sewa"),
    "table": ("datasets_scripts.table", "Table"),
}
"""Name of a corpus -> module and class of its builder."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpus", choices=sorted(CORPORA))
    parser.add_argument(
        "words", nargs=argparse.REMAINDER, metavar="options", help="as `mm-emotion prepare CORPUS --help` says"
    )


def run(options: argparse.Namespace) -> int:
    from datasets_scripts._builder import main as prepare_main

    module, builder = CORPORA[options.corpus]
    return prepare_main(
        getattr(import_module(module), builder), options.words, prog=f"mm-emotion prepare {options.corpus}"
    )
