"""The option that several commands share: where the prepared corpus is."""

import argparse
from pathlib import Path


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, help="prepared corpus or table (default: $MM_EMOTION_DATA/<corpus>)")
