"""How long dialogues are: IEMOCAP's own where MM_EMOTION_DATA holds them, else drawn to resemble them."""

import json
import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

LISTED = Path("iemocap", "iemocap6_dialogues.jsonl")


def dialogue_lengths(training: bool = False) -> tuple[str, list[int]]:
    """Where the lengths are from, and the length of every dialogue, or of every one outside the test part."""
    root = os.environ.get("MM_EMOTION_DATA")
    if root and (Path(root) / LISTED).exists():
        dialogues = [json.loads(line) for line in (Path(root) / LISTED).read_text().splitlines()]
        return "IEMOCAP", [len(row["utt_ids"]) for row in dialogues if not (training and row["split"] == "test")]
    drawn = np.random.default_rng(0).gamma(6, 8.1, 120 if training else 151).round().clip(8, 109).astype(int)
    return "drawn", [110, *drawn.tolist()[1:]]


def spread(count: int) -> tuple[str, Tensor]:
    """A name that says which, and `count` lengths at even distances from the longest to the shortest dialogue."""
    source, lengths = dialogue_lengths()
    places = np.linspace(0, len(lengths) - 1, count).round().astype(int)
    chosen = torch.tensor(sorted(lengths, reverse=True))[places]
    return f"{source} U{chosen.min()}-{chosen.max()} (mean {chosen.double().mean():.0f})", chosen
