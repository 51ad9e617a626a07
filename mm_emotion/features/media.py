"""Video files through PyAV: their audio track as a waveform, their length, and frames from any point on."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm_emotion.errors import FeatureError, MissingExtraError

if TYPE_CHECKING:
    from av import AudioFrame, VideoFrame
    from av.container import InputContainer
    from av.stream import Stream

CHANNELS = ("mean", "left", "right")
"""What is heard of a recording of several channels; of a single one it is that."""

CUT_SHORT = 0.5  # s that a file may lack of what its header says
_HEADERS = frozenset(("mov", "matroska", "avi", "asf", "ogg", "wav", "flac"))  # others' lengths are estimates
_BEFORE = 1.0  # s: where decoding starts before the sound that is wanted, for codecs that need to warm up
_BACK = 3.0  # s: how far before a place an index is asked when it points behind it
_JUMP = 0.05  # s: a larger step between the times of neighbouring pieces of sound is a gap


@contextmanager
def open_media(path: str | os.PathLike) -> Iterator["InputContainer"]:
    """Open a media file for reading.

    Errors: FeatureError naming the file when it is missing or cannot be read, inside the block too; MissingExtraError
    without PyAV.
    """
    try:
        import av
    except ImportError as error:
        raise MissingExtraError("PyAV", "video") from error
    field, expected = f"media {str(path)!r}", "a readable media file"
    if not Path(path).is_file():
        raise FeatureError(field, expected, "no such file")
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            yield container
    except av.FFmpegError as error:
        raise FeatureError(field, expected, error) from error


def track_of(container: "InputContainer", kind: str) -> "Stream":
    """The first "audio" or "video" stream; FeatureError when there is none."""
    streams = [stream for stream in container.streams if stream.type == kind]
    if not streams:
        raise FeatureError(f"media {container.name!r}", f"one {kind} stream", "none")
    return streams[0]


def has_track(path: str | os.PathLike, kind: str) -> bool:
    """Whether a media file has an "audio" or a "video" stream."""
    with open_media(path) as container:
        return any(stream.type == kind for stream in container.streams)


def origin_of(container: "InputContainer") -> float:
    """The time stamp in s at which the file begins, from which all its times are counted."""
    return 0.0 if container.start_time is None else container.start_time / 1e6


def track_seconds(container: "InputContainer", stream: "Stream") -> float:
    """When the stream ends, in s from the beginning of the file; its packets are counted where no header says so.

    Errors: FeatureError for a bare stream, which has no times.
    """
    if not _HEADERS.isdisjoint(container.format.name.split(",")):
        if stream.duration is not None:
            return float((stream.duration + (stream.start_time or 0)) * stream.time_base) - origin_of(container)
        if container.duration is not None:
            return container.duration / 1e6
    ends = [packet.pts + (packet.duration or 0) for packet in container.demux(stream) if packet.pts is not None]
    if not ends:
        raise FeatureError(f"media {container.name!r}", "packets with time stamps", "none")
    return float(max(ends) * stream.time_base) - origin_of(container)


def video_seconds(path: str | os.PathLike) -> float:
    """Length of the video of a file in s; raises FeatureError as `open_media`, or when it has no video stream."""
    with open_media(path) as container:
        return track_seconds(container, track_of(container, "video"))


def audio_track_seconds(path: str | os.PathLike) -> float:
    """Length of the audio track of a file in s; raises FeatureError as `open_media`, or when it is silent."""
    with open_media(path) as container:
        return track_seconds(container, track_of(container, "audio"))


def decoded_from(container: "InputContainer", stream: "Stream", seconds: float) -> Iterator["AudioFrame | VideoFrame"]:
    """Frames of a stream, the first at or before `seconds` where there is one; packets that do not decode are left out.

    A file whose index is broken is decoded from its beginning. Only one frame is held at a time.
    """
    import av

    origin = origin_of(container)
    for place in (seconds, seconds - _BACK):
        if place <= 0:
            break
        frames, first = None, None
        try:
            # In the stream's own ticks, rounded down: a container's are rounded to the next frame.
            container.seek(math.floor((origin + place) / stream.time_base), stream=stream)
            frames = _decoded(container, stream)
            first = next(frames, None)
        except (av.FFmpegError, PermissionError):
            continue
        if first is not None and first.time is not None and first.time - origin <= seconds:
            yield first
            yield from frames
            return
    container.seek(int(origin * 1e6))
    yield from _decoded(container, stream)


def _decoded(container: "InputContainer", stream: "Stream") -> Iterator["AudioFrame | VideoFrame"]:
    import av

    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            continue
        yield from frames


def one_channel(channels: np.ndarray, channel: str) -> np.ndarray:
    """The waveform (N,) of channels (C, N), the first two of which are left and right, by a name of `CHANNELS`."""
    if channel == "mean":
        return channels.mean(axis=0)
    return channels[0 if channel == "left" else min(1, len(channels) - 1)]


def read_audio_track(
    path: str | os.PathLike,
    start: float = 0.0,
    end: float | None = None,
    sampling_rate: int | None = None,
    channel: str = "mean",
) -> tuple[np.ndarray, int]:
    """Mono float32 waveform (N,) of a media file's audio between `start` and `end` (s), and its rate in Hz.

    `channel` is one of `CHANNELS`; `sampling_rate` (Hz) resamples, None keeps the track's own; `end` None, or after the
    last sample, means the last sample. Errors: FeatureError for a missing or unreadable file, one without an audio
    stream, one that is cut short, an empty stretch, or values that are not finite.
    """
    field = f"audio of {str(path)!r}"
    if not np.isfinite(start) or start < 0 or (end is not None and not end > start):
        raise FeatureError(field, "0 <= start < end", f"start {start}, end {end}")
    with open_media(path) as container:
        stream = track_of(container, "audio")
        rate = sampling_rate or stream.codec_context.sample_rate
        length = track_seconds(container, stream)
        first, last = round(start * rate), round((length if end is None else min(end, length)) * rate)
        if first >= last:
            expected = f"sound from {start} s to {'its end' if end is None else f'{end} s'}"
            raise FeatureError(field, expected, f"{length} s of sound")
        try:
            waveform = np.zeros(last - first, dtype=np.float32)
        except MemoryError as error:
            raise FeatureError(field, "a stretch that fits into memory", f"{length} s of sound") from error
        filled = 0
        for position, piece in _pieces(container, stream, start, rate, channel):
            low, high = max(position, first), min(position + len(piece), last)
            if low < high:
                waveform[low - first : high - first] = piece[low - position : high - position]
                filled = high - first
            if position >= last:
                break
    if filled < max(1.0, len(waveform) - CUT_SHORT * rate):
        raise FeatureError(field, f"{len(waveform)} samples", filled, "the file is cut short")
    waveform = waveform[:filled]
    if not np.isfinite(waveform).all():
        raise FeatureError(field, "finite samples", "NaN or infinite samples")
    return waveform, rate


def _pieces(
    container: "InputContainer", stream: "Stream", start: float, rate: int, channel: str
) -> Iterator[tuple[int, np.ndarray]]:
    """Mono pieces (n,) of the track, each with its first sample's number from the beginning of the file."""
    import av

    resampler = av.AudioResampler(format="fltp", rate=rate)
    position = None
    for frame in chain(decoded_from(container, stream, max(0.0, start - _BEFORE)), [None]):  # None empties it
        try:
            pieces = resampler.resample(frame)
        except av.FFmpegError:
            raise
        except ValueError as error:
            raise FeatureError(f"audio of {container.name!r}", "one audio format throughout", error) from error
        for piece in pieces:
            place = round((piece.time - origin_of(container)) * rate)
            # Rounded time stamps are off by a sample or two; only a real gap moves the place.
            position = place if position is None or abs(place - position) > _JUMP * rate else position
            yield position, one_channel(piece.to_ndarray(), channel)
            position += piece.samples
