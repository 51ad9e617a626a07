"""Log-mel spectrogram: the energy of overlapping windows in bands of equal width to the ear, in dB.

The scale is mel(f) = 2595 log10(1 + f / 700) (O'Shaughnessy, 1987), the bands triangles whose feet are the peaks of
their neighbours. Windows are those of `short_term`, so that both can stand side by side.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
import scipy  # its parts load when they are first used, which some do slowly
from scipy.fft import next_fast_len, rfft

from mm_emotion.errors import FeatureError
from mm_emotion.features.short_term import short_term_features
from mm_emotion.features.sound import checked_waveform, resample, samples_of, windows_of

_FLOOR = 1e-10  # -100 dB of full scale
_BLOCK = 256  # windows transformed at a time: the memory for a long recording stays the same


@dataclass(frozen=True)
class Mel:
    """The `mel` feature: a waveform to (T, bands) dB at `sampling_rate` (None: the recording's own).

    `window` and `hop` in s, `lowest` and `highest` in Hz (None: half the rate). `with_short_term` puts the 34 values of
    the same windows before the bands; `drop_ends` leaves out the first and the last window where there are more than
    two. Errors: FeatureError for a number of bands under 1.
    """

    name: ClassVar[str] = "mel"
    version: ClassVar[int] = 1
    licence: ClassVar[str | None] = None
    axes: ClassVar[int] = 2

    sampling_rate: int | None = 16000
    window: float = 0.025
    hop: float = 0.010
    bands: int = 64
    lowest: float = 0.0
    highest: float | None = None
    with_short_term: bool = False
    drop_ends: bool = False

    def __post_init__(self):
        if type(self.bands) is not int or self.bands < 1:
            raise FeatureError("bands", "an integer of at least 1", repr(self.bands))

    def __call__(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        signal, rate = resample(checked_waveform(waveform), sampling_rate, self.sampling_rate)
        values = log_mel(signal, rate, self.window, self.hop, self.bands, self.lowest, self.highest)
        if self.with_short_term:
            values = np.concatenate([short_term_features(signal, rate, self.window, self.hop), values], axis=1)
        return values[1:-1] if self.drop_ends and len(values) > 2 else values


def log_mel(
    waveform: np.ndarray,
    sampling_rate: int,
    window: float = 0.025,
    hop: float = 0.010,
    bands: int = 64,
    lowest: float = 0.0,
    highest: float | None = None,
) -> np.ndarray:
    """Energy (T, bands) float32 of a mono `waveform` (N,) in [-1, 1], in dB, at least -100.

    The bands share out the mean square of a window: their energies sum to it, but for what lies outside the first and
    the last peak. A waveform shorter than a window is padded with silence.
    Errors: FeatureError for other than one axis, no samples, values that are not finite, a window or hop under a
    sample, or other than 0 <= lowest < highest <= half the rate.
    """
    signal = checked_waveform(waveform)
    width, step = (samples_of(field, value, sampling_rate) for field, value in (("window", window), ("hop", hop)))
    top = sampling_rate / 2 if highest is None else highest
    if not 0 <= lowest < top <= sampling_rate / 2:
        raise FeatureError("lowest and highest", f"0 <= lowest < highest <= {sampling_rate / 2} Hz", (lowest, highest))
    size = next_fast_len(_size(width, sampling_rate, bands, lowest, top), real=True)
    taper = scipy.signal.get_window("hann", width)
    filters = _filters(size, sampling_rate, bands, lowest, top)  # (K, M)
    frames = windows_of(signal, width, step)  # (T, W), a view
    values = np.empty((len(frames), bands), dtype=np.float32)
    for first in range(0, len(frames), _BLOCK):
        spectrum = rfft(frames[first : first + _BLOCK] * taper, n=size, axis=1)
        energy = np.square(np.abs(spectrum)) @ filters * (2 / (size * np.square(taper).sum()))  # (t, M)
        values[first : first + len(energy)] = 10 * np.log10(np.maximum(energy, _FLOOR))
    return values


def mel_of(frequency: np.ndarray | float) -> np.ndarray | float:
    """Pitch in mel of a frequency in Hz."""
    return 2595 * np.log10(1 + np.asarray(frequency) / 700)


def _edges(bands: int, lowest: float, highest: float) -> np.ndarray:
    """Feet and peaks of the triangles in Hz, (bands + 2,), evenly spaced in mel."""
    return 700 * (10 ** (np.linspace(mel_of(lowest), mel_of(highest), bands + 2) / 2595) - 1)


def _size(width: int, rate: float, bands: int, lowest: float, highest: float) -> int:
    """Points of a transform whose bins are fine enough for one to lie in each band."""
    narrowest = np.diff(_edges(bands, lowest, highest)).min()
    return max(width, int(np.ceil(rate / narrowest)))


@lru_cache(maxsize=8)
def _filters(size: int, rate: float, bands: int, lowest: float, highest: float) -> np.ndarray:
    """Triangles of height 1 (K, M)."""
    frequencies = np.fft.rfftfreq(size, 1 / rate)[:, None]
    edges = _edges(bands, lowest, highest)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    return np.clip(np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle)), 0, None)
