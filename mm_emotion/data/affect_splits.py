"""How dialogues are drawn in the two papers that predict numbers."""

import hashlib
from collections.abc import Mapping

import numpy as np

from mm_emotion.errors import SplitError
from mm_emotion.schema import SPLITS

FIRST_HALF = 5  # of the development recordings, as published
POOLED_SHARES = (9400, 1800, 1100)  # segments in print


def development_halves(published: Mapping[str, str], seed: int = 0) -> tuple[dict[str, tuple[str, ...]], str]:
    """Dialogues of each part, and a note of it: five of the development part validate, the others test.

    `published` maps a dialogue to its published part. The five are drawn with `seed` from the sorted names.

    Raises:
        SplitError: there is no train part, or no more than five development dialogues.
    """
    train = tuple(dialogue for dialogue, part in published.items() if part == "train")
    names = sorted(dialogue for dialogue, part in published.items() if part == "validation")
    if not train or len(names) <= FIRST_HALF:
        given = f"{len(train)} and {len(names)} dialogues"
        raise SplitError("split column", f"train and validation, the latter with more than {FIRST_HALF}", given)
    drawn = set(np.random.default_rng(seed).permutation(len(names))[:FIRST_HALF].tolist())
    first = tuple(name for index, name in enumerate(names) if index in drawn)
    second = tuple(name for index, name in enumerate(names) if index not in drawn)
    note = f"validation: {', '.join(first)}, drawn with seed {seed}; test: the other development recordings"
    return {"train": train, "validation": first, "test": second}, note


def pooled(published: Mapping[str, str], sizes: Mapping[str, int]) -> tuple[dict[str, tuple[str, ...]], str]:
    """Dialogues of each part when the published train and validation are pooled and cut anew, and a note of it.

    `sizes` maps a dialogue to its number of utterances. Dialogues go in the order of their SHA-256; the parts have
    about the published shares of the utterances.

    Raises:
        SplitError: fewer than three dialogues to pool.
    """
    pool = [dialogue for dialogue, part in published.items() if part in SPLITS[:2]]
    if len(pool) < 3:
        raise SplitError("split column", "at least three dialogues in train and validation", len(pool))
    pool.sort(key=lambda dialogue: hashlib.sha256(dialogue.encode()).hexdigest())
    reached = np.cumsum([sizes[dialogue] for dialogue in pool])
    ends = np.cumsum(POOLED_SHARES)[:2] / sum(POOLED_SHARES) * reached[-1]
    first = min(max(1, int(np.searchsorted(reached, ends[0]) + 1)), len(pool) - 2)
    second = min(max(first + 1, int(np.searchsorted(reached, ends[1]) + 1)), len(pool) - 1)
    parts = dict(zip(SPLITS, (tuple(pool[:first]), tuple(pool[first:second]), tuple(pool[second:])), strict=True))
    return parts, "parts: published train and validation pooled, cut at 76, 15 and 9 % in the order of SHA-256"
