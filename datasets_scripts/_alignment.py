"""The sequences of one video at the pace of its words, or of another of them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import get_args

import numpy as np

from mm_emotion.errors import CorpusError
from mm_emotion.features.align import Collapse, Segments, align, impute

Entry = tuple[np.ndarray, np.ndarray]
"""Intervals (N, 2) in seconds, sorted by start, and features (N, d)."""


@dataclass(frozen=True)
class Alignment:
    """Options of word alignment, as they are written: see `CmuConfig`. Raises CorpusError for impossible ones."""

    reference: str
    collapse: str
    steps: str
    known: Iterable[str]

    def __post_init__(self):
        if self.reference and self.reference not in self.known:
            raise CorpusError("align", f"one of the sequences found: {', '.join(self.known)}", repr(self.reference))
        if self.collapse not in get_args(Collapse):
            raise CorpusError("collapse", " or ".join(get_args(Collapse)), repr(self.collapse))
        if self.steps and (not self.reference or not self.steps.isdecimal() or int(self.steps) < 1):
            raise CorpusError("steps", "a number of at least 1, with --align", repr(self.steps))

    def aligned(self, entries: dict[str, Entry | None], modalities: Iterable[str]) -> dict[str, Entry | None]:
        """The entries of one video, with one row of each of `modalities` for each row of the reference.

        A row is the mean of what meets the interval, zeros where nothing does. Reference rows without length are left
        out; where the reference is missing, so are the modalities. Raises CorpusError for features that are no numbers.
        """
        if not self.reference:
            return entries
        reference = entries[self.reference]
        if reference is None:
            return entries | dict.fromkeys(modalities)
        streams = {self.reference: {"": Segments(*reference)}}
        for name in modalities:
            if entries.get(name) is not None:
                if entries[name][1].dtype.kind not in "fiu":
                    raise CorpusError(f"the sequence of {name}", "numbers", entries[name][1].dtype)
                streams[name] = {"": Segments(*entries[name])}
        found = impute(align(streams, self.reference, self.collapse), self.reference)
        intervals = found[self.reference][""].intervals
        return entries | {name: (intervals, video[""].features) for name, video in found.items()}

    def fitted(self, rows: np.ndarray) -> np.ndarray:
        """The last `steps` of `rows` (N, d), with zeros (of texts: none) in front of fewer; all of them without it."""
        if not self.steps:
            return rows
        made = np.zeros((int(self.steps), *rows.shape[1:]), rows.dtype)
        kept = rows[-len(made) :]
        made[len(made) - len(kept) :] = kept
        return made
