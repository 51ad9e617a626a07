"""Where somebody speaks in a recording: stretches of sound between pauses, by level alone, at constant memory."""

import os
from numbers import Real

import numpy as np
import scipy  # its parts load when they are first used, which some do slowly

from mm_emotion.errors import FeatureError
from mm_emotion.features.sound import audio_seconds, read_audio

LONGEST = 15.0  # s: a longer utterance is rare in every corpus of conversation
PAUSE = 0.5  # s: a shorter gap belongs to the utterance
SHORTEST = 0.25  # s: what is shorter is a click or a breath

_FRAME = 0.02  # s
_BLOCK = 60.0  # s of sound in memory at a time
_SILENCE = -60.0  # dB of full scale: a recording that is nowhere louder has no speech
_RANGE = 35.0  # dB below the loud frames
_ABOVE_NOISE = 6.0  # dB
_EDGE = 0.1  # s kept on either side, for soft beginnings and ends


def speech_stretches(
    path: str | os.PathLike, longest: float = LONGEST, pause: float = PAUSE, shortest: float = SHORTEST
) -> list[tuple[float, float]]:
    """Start and end (s) of each stretch of speech of a sound or video file, in order, none overlapping.

    Speech is what is both within 35 dB of the loud frames and 6 dB above the quiet ones; gaps under `pause` s are
    closed, stretches under `shortest` s dropped, those over `longest` s cut where they are quietest. A recording
    without quiet frames is all speech, one that is nowhere above -60 dB of full scale has none.
    Errors: FeatureError for a length that is not above 0, or as `read_audio`.
    """
    for field, value in (("longest", longest), ("pause", pause), ("shortest", shortest)):
        if not isinstance(value, Real) or not 0 < value < float("inf"):
            raise FeatureError(field, "seconds above 0", repr(value))
    levels = _levels(path)  # (F,)
    quiet, loud = np.percentile(levels, (10, 95))
    if loud <= _SILENCE:
        return []
    floor = max(quiet + _ABOVE_NOISE, loud - _RANGE) if loud - quiet > _ABOVE_NOISE else -np.inf
    runs = _without_short(_joined(_runs(levels > floor), round(pause / _FRAME)), shortest / _FRAME)
    smooth = scipy.ndimage.uniform_filter1d(levels, 11, mode="nearest")
    pieces = [piece for run in _widened(runs, len(levels)) for piece in _cut(run, smooth, round(longest / _FRAME))]
    seconds = audio_seconds(path)
    return [(start * _FRAME, min(end * _FRAME, seconds)) for start, end in pieces]


def _levels(path: str | os.PathLike) -> np.ndarray:
    """Level (F,) of each frame in dB of full scale."""
    seconds, parts, start = audio_seconds(path), [], 0.0
    while start < seconds - _FRAME or not parts:
        waveform, rate = read_audio(path, start, min(start + _BLOCK, seconds))
        size = max(1, round(_FRAME * rate))
        waveform = np.pad(waveform, (0, -len(waveform) % size))
        power = np.square(waveform.reshape(-1, size)).mean(axis=1)
        parts.append(10 * np.log10(np.maximum(power, 1e-10)))
        start += _BLOCK
    return np.concatenate(parts)


def _runs(active: np.ndarray) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], active.astype(np.int8), [0]))))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _joined(runs: list[tuple[int, int]], gap: int) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in runs:
        if joined and start - joined[-1][1] < gap:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _without_short(runs: list[tuple[int, int]], shortest: float) -> list[tuple[int, int]]:
    return [run for run in runs if run[1] - run[0] >= shortest]


def _widened(runs: list[tuple[int, int]], frames: int) -> list[tuple[int, int]]:
    edge, wide = round(_EDGE / _FRAME), []
    for index, (start, end) in enumerate(runs):
        before = runs[index - 1][1] if index else 0
        after = runs[index + 1][0] if index + 1 < len(runs) else frames
        wide.append((max(start - edge, (before + start + 1) // 2), min(end + edge, (end + after) // 2)))
    return wide


def _cut(run: tuple[int, int], levels: np.ndarray, longest: int) -> list[tuple[int, int]]:
    """A run in pieces of at most `longest` frames, each cut at the quietest frame of its middle half."""
    start, end = run
    if end - start <= max(longest, 2):
        return [run]
    low, high = start + (end - start) // 4, start + 3 * (end - start) // 4 + 1
    middle = low + int(levels[low:high].argmin())
    middle = min(max(middle, start + 1), end - 1)
    return [*_cut((start, middle), levels, longest), *_cut((middle, end), levels, longest)]
