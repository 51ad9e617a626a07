"""Where the media of an utterance are: the words, sound, picture and motion of a row, None where there are none.

A row is one of a prepared dataset, or a user's own mapping. `text`, `audio`, `video` and `mocap` are what a user gives:
words, a path or (waveform, rate), a path, and a mapping of `mocap.KINDS` to paths; paths are cut at `start` and `end`
(s) where these are given. `transcript`, `audio_path` and `video_path` are the columns of a prepared dataset; a file
there that is no longer than the utterance (by half a second) is the utterance's own recording, whose times place it in
the dialogue, and is taken whole.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mm_emotion.errors import FeatureError
from mm_emotion.features.media import has_track, video_seconds
from mm_emotion.features.mocap import KINDS
from mm_emotion.features.sound import audio_seconds, read_audio, read_audio_track

_OWN_RECORDING_SLACK = 0.5  # s

Stretch = tuple[str | os.PathLike, float, float | None]
"""A file, and where in it the utterance starts and ends (s; None is the file's end)."""


def words(row: dict) -> str | None:
    """The words of an utterance: `text`, or else `transcript`."""
    text = row.get("text")
    if text is not None and not isinstance(text, str) and "transcript" in row:
        text = None  # the text feature of a prepared row, beside its words
    text = row.get("transcript") if text is None else text
    if text is not None and not isinstance(text, str):
        raise FeatureError("text", "a string or None", type(text).__name__)
    return text


def step_words(row: dict) -> list[str] | None:
    """The words of an utterance one by one, `words`, as many as its other modalities have steps; "" is padding."""
    steps = row.get("words")
    if steps is not None and not (isinstance(steps, list) and all(isinstance(word, str) for word in steps)):
        raise FeatureError("words", "a list of strings or None", repr(steps))
    return steps or None


def sound(row: dict, channel: str = "mean") -> tuple[np.ndarray, int] | None:
    """Waveform (N,) and rate in Hz of an utterance: `audio`, `audio_path`, or else the sound of its video.

    `channel` says what is heard of a file of several, a name of `media.CHANNELS`.
    """
    audio = row.get("audio")
    if isinstance(audio, (str, os.PathLike)):
        return read_audio(audio, *_times(row), channel)
    if isinstance(audio, (tuple, list)) and len(audio) == 2 and np.ndim(audio[0]) == 1 and np.ndim(audio[1]) == 0:
        return np.asarray(audio[0]), audio[1]
    if isinstance(audio, (list, np.ndarray)) and "audio_path" in row:
        audio = None  # the audio feature of a prepared row, beside its recording
    if audio is not None:
        raise FeatureError("audio", "a path, (waveform, sampling_rate) or None", type(audio).__name__)
    if row.get("audio_path"):
        return read_audio(*_stretch(row, row["audio_path"], audio_seconds), channel)
    found = picture(row)
    if found is None or not has_track(found[0], "audio"):
        return None
    return read_audio_track(*found, channel=channel)


def picture(row: dict) -> Stretch | None:
    """The stretch of video of an utterance: `video`, or else `video_path`."""
    video = row.get("video")
    if video is not None and not isinstance(video, (str, os.PathLike)):
        raise FeatureError("video", "a path or None", type(video).__name__)
    if video:
        return (video, *_times(row))
    path = row.get("video_path")
    return _stretch(row, path, video_seconds) if path else None


def motion(row: dict, needed: tuple[str, ...]) -> tuple[dict[str, str | os.PathLike], float, float] | None:
    """The motion files of an utterance by kind and its times: `mocap`, or else the folders beside that of its sound.

    In the release of IEMOCAP the files of `wav/<dialogue>/<utterance>.wav` are
    `MOCAP_<kind>/<dialogue>/<utterance>.txt`; an utterance that lacks one of the `needed` kinds has no motion.
    """
    files = row.get("mocap")
    if not isinstance(files, Mapping):
        if files is not None and "audio_path" not in row:
            raise FeatureError("mocap", f"a mapping of {', '.join(KINDS)} to paths, or None", type(files).__name__)
        recording = row.get("audio_path")
        if not recording or Path(recording).parent.parent.name != "wav":
            return None
        path = Path(recording).with_suffix(".txt")
        root = path.parent.parent.parent
        files = {kind: root / f"MOCAP_{kind}" / path.parent.name / path.name for kind in needed}
        if not all(file.is_file() for file in files.values()):
            return None
    absent = [kind for kind in needed if not files.get(kind)]
    if absent:
        raise FeatureError("mocap", f"a path for {', '.join(needed)}", f"none for {', '.join(absent)}")
    start, end = _times(row)
    return {kind: files[kind] for kind in needed}, start, np.inf if end is None else end


def media_files(row: dict, column: str) -> list[str]:
    """The paths that a feature column of a prepared row is made from."""
    if column != "mocap":
        names = ("audio_path", "video_path") if column == "audio" else ("video_path",)
        return [row[name] for name in names if row.get(name)]
    for needed in (KINDS, ("rotated",)):
        found = motion(row, needed)
        if found is not None:
            return [str(path) for path in found[0].values()]
    return []


def _times(row: dict) -> tuple[float, float | None]:
    # A prepared dataset has NaN where its corpus gives no time.
    start, end = (None if row.get(name) is None or np.isnan(row[name]) else row[name] for name in ("start", "end"))
    return 0.0 if start is None else start, end


def _stretch(row: dict, path: str | os.PathLike, seconds: Callable[[str | os.PathLike], float]) -> Stretch:
    start, end = _times(row)
    if end is not None and Path(path).is_file() and seconds(path) <= end - start + _OWN_RECORDING_SLACK:
        return path, 0.0, None
    return path, start, end
