"""How far annotations of continuous affect lag behind the signal, and outputs brought to their time (E.2).

A rater needs time to see, judge and move a hand: the label of frame t + d belongs to the signal of frame t.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mm_emotion.errors import BatchError
from mm_emotion.metrics._regression import concordance_correlation
from mm_emotion.metrics.outputs import recording_slices

LONGEST = 3.0
"""Seconds; the end of the published search."""


@dataclass(frozen=True)
class DelayCurve:
    """CCC at each delay: `seconds` and `values`, both (S,)."""

    seconds: np.ndarray
    values: np.ndarray

    @property
    def best(self) -> float:
        """The delay in s with the greatest CCC, of equals the shortest; NaN where none is defined."""
        if np.isnan(self.values).all():
            return float("nan")
        return float(self.seconds[np.nanargmax(self.values)])


def frames_of(seconds: float, frame_step: float) -> int:
    """A delay as a whole number of frames. Raises BatchError below 0, or for a step that is not above 0."""
    if not 0 < frame_step < float("inf"):
        raise BatchError("frame_step", "seconds above 0", frame_step)
    if not 0 <= seconds < float("inf"):
        raise BatchError("delay", "seconds of at least 0", seconds)
    return round(seconds / frame_step)


def compensated_pairs(signal: np.ndarray, labels: np.ndarray, recordings: Sequence, frames: int) -> list[np.ndarray]:
    """Signal (M, ...), labels (M,) and recordings (M,) of the frames that have a label `frames` later.

    In each recording the last `frames` of the signal and the first of the labels go; `signal` is (N, ...).
    """
    kept = [
        np.arange(part.start, max(part.start, part.stop - frames)) for part in recording_slices(recordings, len(labels))
    ]
    rows = np.concatenate(kept)
    return [np.asarray(signal)[rows], np.asarray(labels)[rows + frames], np.asarray(recordings, dtype=object)[rows]]


def delayed(outputs: np.ndarray, recordings: Sequence, frames: int) -> np.ndarray:
    """The outputs (N,) of each recording `frames` later: the first one repeated in front, the end cut off."""
    outputs = np.asarray(outputs)
    found = outputs.copy()
    for part in recording_slices(recordings, len(outputs)):
        places = np.arange(part.start, part.stop) - frames
        found[part] = outputs[np.maximum(places, part.start)]
    return found


def delay_curve(
    outputs: np.ndarray,
    labels: np.ndarray,
    recordings: Sequence,
    *,
    frame_step: float,
    longest: float = LONGEST,
    step: float | None = None,
    by_recording: bool = False,
) -> DelayCurve:
    """CCC of outputs (N,) with the labels (N,) that follow them by 0 to `longest` s, every `step` s (default: a frame).

    Over all recordings together, or with `by_recording` their mean; a delay that leaves no pair has NaN.

    Raises:
        BatchError: shapes, recordings or times that do not fit.
    """
    stride = 1 if step is None else max(1, frames_of(step, frame_step))
    delays = np.arange(0, frames_of(longest, frame_step) + 1, stride)
    values = []
    for frames in delays:
        x, y, names = compensated_pairs(outputs, labels, recordings, int(frames))
        known = ~np.isnan(y)
        groups = names[known].astype(str) if by_recording else None
        values.append(concordance_correlation(x[known], y[known], groups=groups) if known.any() else np.nan)
    return DelayCurve(delays * frame_step, np.array(values))
