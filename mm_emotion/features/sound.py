"""Sound of a file: reading a stretch of it as a mono waveform, and changing the sampling rate."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import scipy  # its parts load when they are first used, which some do slowly
import soundfile

from mm_emotion.errors import FeatureError
from mm_emotion.features.media import audio_track_seconds, one_channel, read_audio_track

CONTAINERS = frozenset((".aac", ".avi", ".m4a", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".webm", ".wma", ".wmv"))
"""File endings that are read with PyAV, as sound files proper are not stored under them."""

_BLOCK = 1 << 20  # samples a channel


def read_audio(
    path: str | os.PathLike, start: float = 0.0, end: float | None = None, channel: str = "mean"
) -> tuple[np.ndarray, int]:
    """Mono float32 waveform (N,) of the file between `start` and `end` (s; None is the file's end), and its rate in Hz.

    `channel` is one of `media.CHANNELS`; an `end` after the last sample means the last sample. A video file gives its
    audio track.
    Errors: FeatureError for a missing, unreadable or empty file, values that are not finite, or an empty stretch.
    """
    if Path(path).suffix.lower() in CONTAINERS:
        return read_audio_track(path, start, end, channel=channel)
    field = f"audio {str(path)!r}"
    if not np.isfinite(start) or start < 0 or (end is not None and not end > start):
        raise FeatureError(field, "0 <= start < end", f"start {start}, end {end}")
    with _sound_file(path) as file:
        rate = file.samplerate
        first = round(start * rate)
        last = file.frames if end is None else round(min(end * rate, file.frames))
        if first >= last:
            expected = f"sound from {start} s to {'its end' if end is None else f'{end} s'}"
            raise FeatureError(field, expected, f"{file.frames / rate} s of sound")
        file.seek(first)
        waveform = np.empty(last - first, dtype=np.float32)
        filled = 0
        while filled < len(waveform):
            channels = file.read(min(_BLOCK, len(waveform) - filled), dtype="float32", always_2d=True)  # (n, C)
            if len(channels) == 0:
                raise FeatureError(field, f"{last - first} frames", f"{filled} frames", "the file is cut short")
            waveform[filled : filled + len(channels)] = one_channel(channels.T, channel)
            filled += len(channels)
    if not np.isfinite(waveform).all():
        raise FeatureError(field, "finite samples", "NaN or infinite samples")
    return waveform, rate


def audio_seconds(path: str | os.PathLike) -> float:
    """Length of an audio file in s; raises FeatureError for a missing, unreadable or empty file."""
    if Path(path).suffix.lower() in CONTAINERS:
        return audio_track_seconds(path)
    with _sound_file(path) as file:
        return file.frames / file.samplerate


def resample(waveform: np.ndarray, rate: int, target: int | None) -> tuple[np.ndarray, int]:
    """The waveform (N,) at `target` Hz by polyphase filtering, and its rate; None leaves both as they are."""
    if target is None or target == rate:
        return waveform, rate
    if not (rate > 0 and float(rate).is_integer()):
        raise FeatureError("sampling_rate", "a whole number of Hz above 0", rate)
    divisor = math.gcd(int(rate), target)
    return scipy.signal.resample_poly(waveform, target // divisor, int(rate) // divisor), target


def checked_waveform(waveform: np.ndarray) -> np.ndarray:
    """The waveform as (N,) float64; FeatureError for other than one axis, no samples or values that are not finite."""
    signal = np.asarray(waveform, dtype=np.float64)
    if signal.ndim != 1 or len(signal) == 0:
        raise FeatureError("waveform", "one axis with at least one sample", f"shape {signal.shape}")
    if not np.isfinite(signal).all():
        raise FeatureError("waveform", "finite samples", "NaN or infinite samples")
    return signal


def samples_of(field: str, seconds: float, rate: float) -> int:
    """Whole samples in a time; FeatureError naming `field` for less than one, or a rate of no Hz."""
    if not (rate > 0 and np.isfinite(rate)):
        raise FeatureError("sampling_rate", "a number of Hz above 0", rate)
    if not (np.isfinite(seconds) and seconds * rate >= 1):
        raise FeatureError(field, f"at least one sample at {rate} Hz, in s", seconds)
    return int(seconds * rate + 1e-6)  # 0.3 s at 10 Hz is 3 samples, not the 2 of rounding down 2.9999


def windows_of(signal: np.ndarray, width: int, step: int) -> np.ndarray:
    """Windows (T, width) that start every `step` samples and lie wholly inside a signal (N,), as a view.

    A signal shorter than one is padded with zeros.
    """
    signal = np.pad(signal, (0, max(0, width - len(signal))))
    return np.lib.stride_tricks.sliding_window_view(signal, width)[::step]


@contextmanager
def _sound_file(path: str | os.PathLike) -> Iterator[soundfile.SoundFile]:
    field, expected = f"audio {str(path)!r}", "a readable audio file"
    if not Path(path).is_file():
        raise FeatureError(field, expected, "no such file")
    try:
        with soundfile.SoundFile(path) as file:
            if file.frames == 0:
                raise FeatureError(field, expected, "0 frames")
            yield file
    except soundfile.SoundFileError as error:
        raise FeatureError(field, expected, error) from error
