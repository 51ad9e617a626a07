"""Publishing: model cards, pushes in one commit, what the terms of a corpus allow, checkpoints by name."""

from mm_emotion.hub.card import render_card, write_card
from mm_emotion.hub.dataset import plan_dataset, push_dataset
from mm_emotion.hub.push import plan_system, push_system
from mm_emotion.hub.reference import REFERENCES
from mm_emotion.hub.terms import CORPUS_TERMS
from mm_emotion.hub.tiny import tiny_checkpoint

__all__ = [
    "CORPUS_TERMS",
    "REFERENCES",
    "plan_dataset",
    "plan_system",
    "push_dataset",
    "push_system",
    "render_card",
    "tiny_checkpoint",
    "write_card",
]
