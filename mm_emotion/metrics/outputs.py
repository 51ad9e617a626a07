"""What is done to the outputs of continuous affect before they are judged: scaling and smoothing (Ortega et al., 2019).

Outputs and labels are (N,) of one dimension. Scalings undo that a regression predicts less than the labels vary; their
constants come from labels, those of the train part by default, and from the outputs of the part itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from scipy import ndimage

from mm_emotion.errors import BatchError

Smoothing = Literal["none", "median", "gaussian"]


@dataclass(frozen=True)
class LabelStatistics:
    """Least, greatest and deviation (of the population) of the labels that outputs are brought to."""

    low: float
    high: float
    deviation: float

    @classmethod
    def of(cls, labels: np.ndarray) -> "LabelStatistics":
        """Of (N,) labels, NaN where unknown. Raises BatchError where all are."""
        known = np.asarray(labels, dtype=np.float64)
        known = known[~np.isnan(known)]
        if not len(known):
            raise BatchError("labels", "at least one value", "none")
        return cls(float(known.min()), float(known.max()), float(known.std()))


def unscaled(outputs: np.ndarray, labels: LabelStatistics) -> np.ndarray:
    """The outputs as they are."""
    return outputs


def min_max(outputs: np.ndarray, labels: LabelStatistics) -> np.ndarray:
    """The range of the outputs onto that of the labels; outputs without a range stay."""
    low, span = outputs.min(), np.ptp(outputs)
    return (labels.high - labels.low) * (outputs - low) / span + labels.low if span else outputs


def min_max_as_printed(outputs: np.ndarray, labels: LabelStatistics) -> np.ndarray:
    """`min_max` by the formula in print, which has lost its parentheses."""
    low, span = outputs.min(), np.ptp(outputs)
    return (labels.high - labels.low) * outputs - low / span + labels.low if span else outputs


def std_ratio(outputs: np.ndarray, labels: LabelStatistics) -> np.ndarray:
    """The deviation of the labels over that of the outputs, times the outputs; constant ones stay."""
    deviation = outputs.std() if np.ptp(outputs) else 0.0
    return outputs * (labels.deviation / deviation) if deviation and labels.deviation else outputs


def std_ratio_as_printed(outputs: np.ndarray, labels: LabelStatistics) -> np.ndarray:
    """`std_ratio` with the ratio upside down, as in print, which makes small outputs smaller."""
    deviation = outputs.std() if np.ptp(outputs) else 0.0
    return outputs * (deviation / labels.deviation) if deviation and labels.deviation else outputs


def decimal(outputs: np.ndarray, labels: LabelStatistics) -> np.ndarray:
    """The outputs over 10^j, j the least whole number that brings all below 1 in size; zeros stay."""
    greatest = float(np.abs(outputs).max())
    if not greatest:
        return outputs
    power = int(np.floor(np.log10(greatest))) + 1
    while greatest * 10.0**-power >= 1:  # the logarithm of a power of ten may fall short of it
        power += 1
    while greatest * 10.0 ** -(power - 1) < 1:
        power -= 1
    return outputs * 10.0**-power


SCALINGS: dict[str, Callable[[np.ndarray, LabelStatistics], np.ndarray]] = {
    "none": unscaled,
    "min_max": min_max,
    "std_ratio": std_ratio,
    "decimal": decimal,
    "min_max_as_printed": min_max_as_printed,
    "std_ratio_as_printed": std_ratio_as_printed,
}
"""Name of a column of results -> how its outputs are scaled."""


def scale(outputs: np.ndarray, labels: LabelStatistics, name: str) -> np.ndarray:
    """The outputs (N,) scaled by one of `SCALINGS`.

    Raises:
        BatchError: an unknown name, another shape, or outputs that are not finite.
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    if name not in SCALINGS:
        raise BatchError("scaling", f"one of {', '.join(SCALINGS)}", repr(name))
    if outputs.ndim != 1 or not len(outputs) or not np.isfinite(outputs).all():
        raise BatchError("outputs", "finite values (N,)", f"shape {outputs.shape}")
    return SCALINGS[name](outputs, labels)


def smooth(outputs: np.ndarray, recordings: Sequence, kind: Smoothing, width: float, frame_step: float) -> np.ndarray:
    """The outputs (N,) smoothed over time within each recording, whose frames stand together in order.

    `width` in s is the whole window of a `median`, or the deviation of a `gaussian`; a frame lasts `frame_step` s. Ends
    are continued by their last value.

    Raises:
        BatchError: another kind, a width that is not a number above 0, or recordings that do not fit.
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    if kind not in ("none", "median", "gaussian"):
        raise BatchError("smoothing", "none, median or gaussian", repr(kind))
    parts = recording_slices(recordings, len(outputs))
    if kind == "none":
        return outputs
    if not 0 < width < float("inf"):
        raise BatchError("width", "seconds above 0", width)
    frames = width / frame_step
    if kind == "median":
        size = 2 * round((frames - 1) / 2) + 1 if frames > 1 else 1
        return np.concatenate([ndimage.median_filter(outputs[part], size, mode="nearest") for part in parts])
    return np.concatenate([ndimage.gaussian_filter1d(outputs[part], frames, mode="nearest") for part in parts])


def recording_slices(recordings: Sequence, count: int) -> list[slice]:
    """Where each recording stands in `count` frames, given the name of each frame's.

    Raises:
        BatchError: there are not as many names, or the frames of a recording are apart.
    """
    names = np.asarray(recordings, dtype=object)
    if names.shape != (count,) or not count:
        raise BatchError("recordings", f"{count} names, at least one", names.shape)
    cuts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1).tolist(), count]
    if len(set(names.tolist())) != len(cuts) - 1:
        raise BatchError("recordings", "the frames of each together", "some apart")
    return [slice(*pair) for pair in pairwise(cuts)]
