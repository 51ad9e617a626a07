"""The two statements that publishing asks for."""

import argparse


def add_consent_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--license", metavar="ID", help="licence you publish under, as the Hub names it: cc-by-nc-4.0")
    parser.add_argument(
        "--corpus-terms", metavar="TEXT", help="what the terms of the corpus say of publishing this, in a sentence"
    )
