"""Utterance-level acoustic vector: pitch, voicing, energy, rhythm and spectral statistics, computed with numpy alone.

Frames are taken every 10 ms. Pitch follows the normalised autocorrelation of P. Boersma, "Accurate short-term analysis
of the fundamental frequency ...", 1993, with a median filter in place of its path search.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy  # its parts load when they are first used, which some do slowly
from scipy.fft import dct, irfft, next_fast_len, rfft

from mm_emotion.errors import FeatureError
from mm_emotion.features.sound import checked_waveform

VERSION = 1
"""Changes with any change of a value below, so that a saved standardisation never meets another feature."""

MINIMUM_RATE = 4000  # Hz

_HOP = 0.010  # s
_SPECTRAL_WINDOW = 0.025  # s
_PITCH_WINDOW = 0.050  # s: three periods of the lowest pitch
_LOWEST_PITCH, _HIGHEST_PITCH = 60.0, 500.0  # Hz
_VOICED_CORRELATION = 0.45
_OCTAVE_COST = 0.02  # per octave of period: prefers the shortest of equally good periods
_ACTIVE_RANGE = 35.0  # dB below the loud frames: what is quieter is a pause
_FLOOR = 1e-10  # -100 dB of full scale
_BANDS, _CEPSTRA = 24, 12
_LOWEST_BAND, _HIGHEST_BAND = 60.0, 8000.0  # Hz
_PAUSE = 0.12  # s: shorter gaps belong to the articulation

_SHAPES = ("centroid", "spread", "rolloff", "flatness", "tilt", "flux", "zero_crossings")
FUNCTIONAL_NAMES: tuple[str, ...] = (
    *(f"pitch_{name}" for name in ("mean", "deviation", "median", "low", "high", "slope", "end", "change")),
    *("voiced_fraction", "voiced_length", "harmonicity_mean", "harmonicity_deviation", "jitter", "shimmer"),
    *(f"energy_{name}" for name in ("mean", "deviation", "median", "low", "high", "slope", "end", "change")),
    *("syllable_rate", "syllable_deviation", "pause_fraction", "pause_rate", "pause_longest", "duration"),
    *(f"{shape}_{name}" for shape in _SHAPES for name in ("mean", "deviation")),
    *(f"cepstrum_{index}_{name}" for index in range(1, _CEPSTRA + 1) for name in ("mean", "deviation")),
)
"""Names of the D values: pitch in semitones above 50 Hz, energy in dB of full scale, frequencies in octaves above
50 Hz, spread and zero crossings in kHz, times in s, rates per s; `end` is the last third less the whole, `change` the
mean step between frames."""


@dataclass(frozen=True)
class Functionals:
    """The `functionals` feature: a waveform to the vector (D,) named by `FUNCTIONAL_NAMES`."""

    name: ClassVar[str] = "functionals"
    version: ClassVar[int] = VERSION
    licence: ClassVar[str | None] = None
    axes: ClassVar[int] = 1

    def __call__(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        return acoustic_functionals(waveform, sampling_rate)


def acoustic_functionals(waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Utterance-level vector (D,) of a mono `waveform` (N,) in [-1, 1], float32, named by `FUNCTIONAL_NAMES`.

    A clip shorter than one frame is padded with silence; silence and constant signals give finite values.
    Errors: FeatureError for other than one axis, no samples, values that are not finite, or a rate under 4 kHz.
    """
    signal, rate = _checked(waveform, sampling_rate)
    pitch, harmonicity = _pitch(signal, rate)
    power, energy, crossings = _spectra(signal, rate)
    active = (energy > np.percentile(energy, 95) - _ACTIVE_RANGE) & (energy > 10 * np.log10(_FLOOR) + 3)
    voiced = active & (harmonicity > _VOICED_CORRELATION)
    pitch[voiced] = scipy.ndimage.median_filter(pitch[voiced], 5)
    shapes = _shapes(power, crossings, rate)  # (F, 7)
    cepstra = _cepstra(power, rate)  # (F, 12)
    values = [
        *_contour(np.where(voiced, pitch, np.nan)),
        *_voicing(pitch, harmonicity, energy, voiced),
        *_contour(np.where(active, energy, np.nan)),
        *_rhythm(energy, active, voiced, len(signal) / rate),
        *_mean_and_deviation(shapes, active),
        *_mean_and_deviation(cepstra, active),
    ]
    return np.asarray(values, dtype=np.float32)  # (D,)


def _checked(waveform: np.ndarray, sampling_rate: int) -> tuple[np.ndarray, float]:
    """The signal without its constant part, at least one frame long, at 4 to 32 kHz."""
    signal = checked_waveform(waveform)
    if not sampling_rate >= MINIMUM_RATE:
        raise FeatureError("sampling_rate", f"at least {MINIMUM_RATE} Hz", sampling_rate)
    signal = signal - signal.mean()
    rate = float(sampling_rate)
    factor = int(rate // 16000)
    if factor > 1:
        signal, rate = scipy.signal.resample_poly(signal, 1, factor), rate / factor
    shortest = int(np.ceil(_PITCH_WINDOW * rate)) + 1
    return np.pad(signal, (0, max(0, shortest - len(signal)))), rate


def _frames(signal: np.ndarray, rate: float, seconds: float) -> np.ndarray:
    """Hann-windowed frames (F, W) every 10 ms, centred so that all window lengths give frames of the same times."""
    width = round(seconds * rate)
    missing = round(_PITCH_WINDOW * rate) - width
    starts = missing // 2 + np.round(np.arange(0, (len(signal) - width - missing) / rate, _HOP) * rate).astype(int)
    return np.lib.stride_tricks.sliding_window_view(signal, width)[starts] * scipy.signal.get_window("hann", width)


def _pitch(signal: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Pitch (F,) in semitones above 50 Hz and the normalised autocorrelation (F,) at its period."""
    frames = _frames(signal, rate, _PITCH_WINDOW)  # (F, W)
    width = frames.shape[1]
    shortest, longest = int(rate / _HIGHEST_PITCH), int(np.ceil(rate / _LOWEST_PITCH))
    size = next_fast_len(width + longest + 2, real=True)

    def correlation(rows: np.ndarray) -> np.ndarray:
        lags = irfft(np.abs(rfft(rows, size, axis=-1)) ** 2, size, axis=-1)[..., : longest + 2]
        return lags / np.maximum(lags[..., :1], width * _FLOOR)

    lags = correlation(frames) / correlation(scipy.signal.get_window("hann", width))  # (F, L)
    before, here, after = lags[:, shortest - 1 : -2], lags[:, shortest:-1], lags[:, shortest + 1 :]
    peak = (here >= before) & (here > after)
    score = np.where(peak, here - _OCTAVE_COST * np.log2(np.arange(shortest, longest + 1)), -np.inf)
    best = (np.arange(len(lags)), score.argmax(axis=1))
    curvature = before[best] - 2 * here[best] + after[best]
    shift = np.where(peak[best], 0.5 * (before[best] - after[best]) / np.minimum(curvature, -_FLOOR), 0.0)
    period = (shortest + best[1] + shift) / rate
    harmonicity = np.where(peak[best], np.minimum(here[best], 0.9999), 0.0)
    return 12 * np.log2(1 / (50 * period)), harmonicity


def _spectra(signal: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Power (F, K) of each frequency bin, energy (F,) in dB and zero crossings (F,) in kHz."""
    frames = _frames(signal, rate, _SPECTRAL_WINDOW)  # (F, W)
    width = frames.shape[1]
    window_power = np.square(scipy.signal.get_window("hann", width)).sum()
    energy = 10 * np.log10(np.square(frames).sum(axis=1) / window_power + _FLOOR)
    crossings = np.count_nonzero(np.diff(np.signbit(frames[:, 1:]), axis=1), axis=1) / width * rate / 1000
    power = np.abs(rfft(frames, next_fast_len(width, real=True), axis=1)) ** 2 / window_power
    return power, energy, crossings


def _bins(power: np.ndarray, rate: float) -> np.ndarray:
    return np.linspace(0, rate / 2, power.shape[1])  # (K,) Hz


def _shapes(power: np.ndarray, crossings: np.ndarray, rate: float) -> np.ndarray:
    """Spectral shape (F, 7) in the order of `_SHAPES`, between 60 Hz and 8 kHz."""
    bins = _bins(power, rate)
    inside = (bins >= _LOWEST_BAND) & (bins <= _HIGHEST_BAND)
    bins, power = bins[inside], power[:, inside] + _FLOOR
    share = power / power.sum(axis=1, keepdims=True)  # (F, K)
    centroid = share @ bins
    spread = np.sqrt(np.maximum(share @ bins**2 - centroid**2, 0)) / 1000
    rolloff = bins[np.argmax(np.cumsum(share, axis=1) >= 0.85, axis=1)]
    decibels = 10 * np.log10(power)
    flatness = decibels.mean(axis=1) - 10 * np.log10(power.mean(axis=1))
    octaves = np.log2(bins) - np.log2(bins).mean()
    tilt = decibels @ octaves / (octaves @ octaves)
    flux = np.abs(np.diff(share, axis=0, prepend=share[:1])).sum(axis=1) / 2
    return np.stack([np.log2(centroid / 50), spread, np.log2(rolloff / 50), flatness, tilt, flux, crossings], axis=1)


def _cepstra(power: np.ndarray, rate: float) -> np.ndarray:
    """Mel cepstrum 1 to 12 (F, 12) of 24 triangular bands."""
    edges = np.linspace(*(np.log(1 + hertz / 700) for hertz in (_LOWEST_BAND, _HIGHEST_BAND)), _BANDS + 2)
    edges = 700 * (np.exp(edges) - 1)
    bins = _bins(power, rate)
    rise = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    bands = power @ np.clip(np.minimum(rise, fall), 0, None).T  # (F, 24)
    return dct(np.log10(bands + _FLOOR), norm="ortho", axis=1)[:, 1 : _CEPSTRA + 1]


def _contour(values: np.ndarray) -> list[float]:
    """Eight statistics of a track (F,) over its frames that are not NaN; zeros where there are none."""
    present = np.flatnonzero(~np.isnan(values))
    if len(present) == 0:
        return [0.0] * 8
    known = values[present]
    times = (present - present.mean()) * _HOP
    slope = times @ known / max(times @ times, _HOP**2)
    steps = np.abs(np.diff(known))[np.diff(present) == 1]
    end = known[-(-2 * len(known) // 3) :].mean() if len(known) > 2 else known.mean()
    low, median, high = np.percentile(known, (10, 50, 90))
    change = steps.mean() if len(steps) else 0.0
    return [known.mean(), known.std(), median, low, high, slope, end - known.mean(), change]


def _voicing(pitch: np.ndarray, harmonicity: np.ndarray, energy: np.ndarray, voiced: np.ndarray) -> list[float]:
    if not voiced.any():
        return [0.0] * 6
    ratio = 10 * np.log10(harmonicity[voiced] / (1 - harmonicity[voiced]))  # dB of periodic over noisy part
    both = voiced[1:] & voiced[:-1]
    period = np.exp2(-pitch / 12)
    jitter = np.abs(np.diff(period) / period[1:])[both]
    shimmer = np.abs(np.diff(energy))[both]
    means = [steps.mean() if len(steps) else 0.0 for steps in (jitter, shimmer)]
    return [voiced.mean(), _runs(voiced).mean() * _HOP, ratio.mean(), ratio.std(), *means]


def _rhythm(energy: np.ndarray, active: np.ndarray, voiced: np.ndarray, duration: float) -> list[float]:
    smooth = scipy.ndimage.uniform_filter1d(scipy.ndimage.uniform_filter1d(energy, 5), 5)
    peaks, _ = scipy.signal.find_peaks(smooth, prominence=2.0, distance=8)
    peaks = peaks[voiced[peaks]]  # a syllable has a voiced nucleus
    deviation = np.diff(peaks).std() * _HOP if len(peaks) > 2 else 0.0
    spoken = np.flatnonzero(active)
    inside = ~active[spoken[0] : spoken[-1] + 1] if len(spoken) else np.zeros(1, dtype=bool)
    pauses = _runs(inside) * _HOP
    pauses = pauses[pauses >= _PAUSE]
    longest = pauses.max() if len(pauses) else 0.0
    return [len(peaks) / duration, deviation, pauses.sum() / duration, len(pauses) / duration, longest, duration]


def _runs(mask: np.ndarray) -> np.ndarray:
    """Lengths of the stretches of True, in frames."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return edges[1::2] - edges[::2]


def _mean_and_deviation(tracks: np.ndarray, active: np.ndarray) -> np.ndarray:
    """Mean and standard deviation of each column of (F, M), in turns (2M,), over the active frames or, if none, all."""
    tracks = tracks[active] if active.any() else tracks
    return np.stack([tracks.mean(axis=0), tracks.std(axis=0)], axis=1).ravel()
