"""mm-emotion train: train one recipe."""

import argparse

from mm_emotion.commands import _seeds

SUMMARY = "train one recipe for one or more seeds; accelerate launch train.py takes the same words"
EXAMPLES = """\
mm-emotion train bc_lstm/iemocap_bc_lstm_text --data data/iemocap training.learning_rate=1e-3
accelerate launch train.py dialogue_rnn/iemocap_bidialogue_rnn_att_text --data data/iemocap --seeds 0 1 2"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    _seeds.add_arguments(parser, "seeds to run (default: the recipe's first)")


def run(options: argparse.Namespace) -> None:
    from mm_emotion.training.recipe import load_recipe

    recipe = load_recipe(options.recipe, options.overrides)
    _seeds.run_seeds(options, recipe, options.seeds or recipe.protocol.seeds[:1])
