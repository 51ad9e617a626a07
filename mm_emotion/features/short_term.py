"""Thirty-four short-term audio features: level, spectral shape, cepstrum and chroma of overlapping windows.

The values are those of T. Giannakopoulos, "pyAudioAnalysis", PLoS ONE 10(12), 2015, and of its releases where these
differ from the text: the filters of the cepstrum take the kept half of the spectrum for the whole of it (so each band
lies at half its nominal frequency), a note keeps the power of its last bin alone, and notes under 27.5 Hz count from
the other end. A rate or window for which that library fails gives values here: bands and notes beyond the spectrum
are empty.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np
from scipy.fft import dct, rfft

from mm_emotion.errors import FeatureError
from mm_emotion.features.sound import checked_waveform, resample, samples_of, windows_of

_CEPSTRA, _NOTES, _PARTS = 13, 12, 10
SHORT_TERM_NAMES: tuple[str, ...] = (
    *("zero_crossings", "energy", "energy_entropy", "centroid", "spread", "spectral_entropy", "flux", "rolloff"),
    *(f"cepstrum_{index}" for index in range(1, _CEPSTRA + 1)),
    *(f"chroma_{index}" for index in range(1, _NOTES + 1)),
    "chroma_deviation",
)
"""Names of the 34 values; frequencies are shares of half the sampling rate, entropies in bits."""

_EPSILON = float(np.finfo(np.float64).eps)
_ROLLOFF = 0.90
_LOWEST_NOTE = 27.5  # Hz, the A of the lowest octave
_LINEAR_BANDS, _BANDS = 13, 40
_FIRST_BAND, _BAND_STEP, _BAND_RATIO = 133.33, 200 / 3, 1.0711703  # Hz, Hz, ratio of neighbours above the linear ones
_BLOCK = 256  # windows transformed at a time: the memory for a long recording stays the same


@dataclass(frozen=True)
class ShortTerm:
    """The `short_term` feature: a waveform to (T, 34), at `sampling_rate` (None: the recording's own).

    `window` and `hop` in s; `drop_ends` leaves out the first and the last window where there are more than two.
    """

    name: ClassVar[str] = "short_term"
    version: ClassVar[int] = 1
    licence: ClassVar[str | None] = None
    axes: ClassVar[int] = 2

    sampling_rate: int | None = 16000
    window: float = 0.2
    hop: float = 0.1
    drop_ends: bool = False

    def __call__(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        signal, rate = resample(checked_waveform(waveform), sampling_rate, self.sampling_rate)
        values = short_term_features(signal, rate, self.window, self.hop)
        return values[1:-1] if self.drop_ends and len(values) > 2 else values


def short_term_features(waveform: np.ndarray, sampling_rate: int, window: float = 0.2, hop: float = 0.1) -> np.ndarray:
    """The 34 values of each window of a mono `waveform` (N,), (T, 34) float32, named by `SHORT_TERM_NAMES`.

    Windows start every `hop` s and lie wholly inside; a waveform shorter than one is padded with silence.
    Errors: FeatureError for other than one axis, no samples, values that are not finite, a window under 20 samples
    or a hop under one.
    """
    signal = checked_waveform(waveform)
    width, step = (samples_of(field, value, sampling_rate) for field, value in (("window", window), ("hop", hop)))
    if width < 2 * _PARTS:
        raise FeatureError("window", f"at least {2 * _PARTS} samples", f"{width} ({window} s at {sampling_rate} Hz)")
    signal = signal - signal.mean()
    signal /= np.abs(signal).max() + 1e-10
    frames = windows_of(signal, width, step)  # (T, W), a view
    values = np.empty((len(frames), len(SHORT_TERM_NAMES)), dtype=np.float32)
    previous = None
    for first in range(0, len(frames), _BLOCK):
        block = frames[first : first + _BLOCK]
        magnitude = np.abs(rfft(block, axis=1)[:, : width // 2]) / (width // 2)  # (t, K)
        share = magnitude / (magnitude + _EPSILON).sum(axis=1, keepdims=True)
        before = share[:1] if previous is None else previous
        flux = np.square(np.diff(share, axis=0, prepend=before)).sum(axis=1)
        previous = share[-1:]
        part = values[first : first + len(block)]
        part[:, :3] = _of_time(block)
        part[:, 3:8] = _of_spectrum(magnitude, flux)
        part[:, 8:21] = _cepstrum(magnitude, sampling_rate)
        part[:, 21:] = _chroma(magnitude, sampling_rate)
    return values


def _of_time(frames: np.ndarray) -> np.ndarray:
    """Zero crossings, energy and its entropy over ten parts of each window, (t, 3)."""
    width = frames.shape[1]
    signs = np.sign(frames).astype(np.int8)
    crossings = np.abs(np.diff(signs, axis=1)).sum(axis=1, dtype=np.int64) / 2 / (width - 1)
    squares = np.square(frames)
    return np.stack([crossings, squares.sum(axis=1) / width, _entropy(squares)], axis=1)


def _of_spectrum(magnitude: np.ndarray, flux: np.ndarray) -> np.ndarray:
    """Centroid, spread, entropy, flux and roll-off, (t, 5)."""
    bins = magnitude.shape[1]
    places = np.arange(1, bins + 1) / bins
    peak = magnitude.max(axis=1, keepdims=True)
    relative = magnitude / np.where(peak > 0, peak, 1)
    total = relative.sum(axis=1) + _EPSILON
    centroid = relative @ places / total
    spread = np.sqrt((relative * np.square(places - centroid[:, None])).sum(axis=1) / total)
    power = np.square(magnitude)
    reached = np.cumsum(power, axis=1) + _EPSILON > _ROLLOFF * power.sum(axis=1, keepdims=True)
    return np.stack([centroid, spread, _entropy(power), flux, reached.argmax(axis=1) / bins], axis=1)


def _entropy(power: np.ndarray) -> np.ndarray:
    """Entropy (t,) of the power in ten equal parts of each row; what is left over at the end counts as power only."""
    length = power.shape[1] // _PARTS
    parts = power[:, : length * _PARTS].reshape(len(power), _PARTS, length).sum(axis=2)
    share = parts / (power.sum(axis=1, keepdims=True) + _EPSILON)
    return -(share * np.log2(share + _EPSILON)).sum(axis=1)


def _cepstrum(magnitude: np.ndarray, rate: float) -> np.ndarray:
    bands = magnitude @ _filters(magnitude.shape[1], rate)  # (t, 40)
    return dct(np.log10(bands + _EPSILON), norm="ortho", axis=1)[:, :_CEPSTRA]


def _chroma(magnitude: np.ndarray, rate: float) -> np.ndarray:
    """Power of the twelve notes over that of the window, and its deviation, (t, 13)."""
    power = np.square(magnitude)
    total = power.sum(axis=1, keepdims=True)
    notes = power @ _note_weights(magnitude.shape[1], rate) / np.where(total > 0, total, 1)
    return np.concatenate([notes, notes.std(axis=1, keepdims=True)], axis=1)


@lru_cache(maxsize=8)
def _filters(bins: int, rate: float) -> np.ndarray:
    """Triangles of area 1 (K, 40), evenly spaced up to 933 Hz, then in equal ratios."""
    linear = _FIRST_BAND + _BAND_STEP * np.arange(_LINEAR_BANDS)
    edges = np.concatenate([linear, linear[-1] * _BAND_RATIO ** np.arange(1, _BANDS - _LINEAR_BANDS + 3)])
    places = np.arange(bins)[:, None] / bins * rate
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    rise, fall = (places - low) / (middle - low), (high - places) / (high - middle)
    return np.clip(np.minimum(rise, fall), 0, None) * 2 / (high - low)


@lru_cache(maxsize=8)
def _note_weights(bins: int, rate: float) -> np.ndarray:
    """What each bin (K, 12) gives to each note, as the module's docstring says."""
    frequencies = np.arange(1, bins + 1) * rate / (2 * bins)
    notes = np.round(12 * np.log2(frequencies / _LOWEST_NOTE)).astype(int)
    _, inverse, counts = np.unique(notes, return_inverse=True, return_counts=True)
    bins_of_note = counts[inverse]  # (K,)
    known = np.flatnonzero((notes < bins) & (notes >= -bins))
    last_bin = np.full(bins, -1)
    last_bin[notes[known]] = known  # a later bin replaces an earlier one
    places = np.flatnonzero(last_bin >= 0)
    weights = np.zeros((bins, _NOTES))
    divisors = bins_of_note[np.clip(notes[places], -bins, bins - 1)]
    weights[last_bin[places], places % _NOTES] = 1 / divisors
    return weights
