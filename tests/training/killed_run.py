"""The run that test_loop.py kills: forty epochs with a state after every step, into the folder it is given."""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest import make_corpus
from test_loop import RECIPE, run

from mm_emotion.data.corpus import DialogueDataset

rows = make_corpus()
parts = [DialogueDataset(part, unit="dialogue", columns=["text"]) for part in (rows, rows.select(range(12)))]
run(Path(sys.argv[1]), parts, training=replace(RECIPE.training, epochs=40), state_seconds=0)
