"""Video clips for 3-D networks: frames taken evenly over an utterance, decoded one at a time."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from mm_emotion.errors import FeatureError
from mm_emotion.features.media import CUT_SHORT, decoded_from, open_media, origin_of, track_of, track_seconds

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.stream import Stream

_COLOURS = {"rgb": "rgb24", "grey": "gray"}
_SEEK = 5.0  # s: frames further apart are looked up by the index, nearer ones decoded one after another


@dataclass(frozen=True)
class VideoClips:
    """The `video_clips` feature: a stretch of a video file to (C, F, Y, X) float32 in [0, 1].

    The F frames are those shown in the middle of `frames` equal parts of the stretch. `crop` keeps the whole picture
    ("none"), the largest central part with the shape of the result ("centre"), or a box [left, top, right, bottom] in
    shares of the picture; what is kept is scaled to `height` by `width` pixels. C is 3, or 1 for `colour` "grey".
    Errors: FeatureError for an impossible option.
    """

    name: ClassVar[str] = "video_clips"
    version: ClassVar[int] = 1
    licence: ClassVar[str | None] = None
    axes: ClassVar[int] = 4

    frames: int = 16
    height: int = 112
    width: int = 112
    crop: str | list[float] = "centre"
    colour: str = "rgb"

    def __post_init__(self):
        for field in ("frames", "height", "width"):
            value = getattr(self, field)
            if type(value) is not int or value < 1:
                raise FeatureError(field, "an integer of at least 1", repr(value))
        if self.colour not in _COLOURS:
            raise FeatureError("colour", " or ".join(_COLOURS), repr(self.colour))
        if self.crop not in ("none", "centre"):
            _check_box(self.crop)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return (3 if self.colour == "rgb" else 1, self.frames, self.height, self.width)

    def __call__(self, path: str | os.PathLike, start: float = 0.0, end: float | None = None) -> np.ndarray:
        """The clip of a file between `start` and `end` (s); None, or an end after the last frame, is the file's end.

        Errors: FeatureError naming the file for one that is missing, unreadable or cut short, that has no video or no
        frames, or an empty stretch; MissingExtraError without PyAV.
        """
        field = f"video of {str(path)!r}"
        if not np.isfinite(start) or start < 0 or (end is not None and not end > start):
            raise FeatureError(field, "0 <= start < end", f"start {start}, end {end}")
        clip = np.empty((self.frames, self.height, self.width, self.shape[0]), dtype=np.uint8)  # (F, Y, X, C)
        with open_media(path) as container:
            stream = track_of(container, "video")
            length = track_seconds(container, stream)
            if not start < length:
                expected = f"frames from {start} s to {'its end' if end is None else f'{end} s'}"
                raise FeatureError(field, expected, f"{length} s of video")
            last = length if end is None else min(end, length)
            times = start + (np.arange(self.frames) + 0.5) / self.frames * (last - start)
            for number, frame in enumerate(_shown(container, stream, times.tolist(), field)):
                clip[number] = self._picture(frame)
        made = np.ascontiguousarray(clip.transpose(3, 0, 1, 2), dtype=np.float32)  # (C, F, Y, X)
        made /= 255
        return made

    def _picture(self, frame: "VideoFrame") -> np.ndarray:
        """One frame, upright, cropped and scaled, (Y, X, C) uint8."""
        kind = _COLOURS[self.colour]
        image = np.rot90(frame.to_ndarray(format=kind), frame.rotation // 90)  # phones store pictures lying down
        left, top, right, bottom = self._box(*image.shape[:2])
        image = np.ascontiguousarray(image[top:bottom, left:right])
        if image.shape[:2] != (self.height, self.width):
            import av

            whole = av.VideoFrame.from_ndarray(image, format=kind)
            image = whole.reformat(self.width, self.height, kind, interpolation="AREA").to_ndarray()
        return image.reshape(self.height, self.width, -1)

    def _box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Pixels (left, top, right, bottom) that are kept of a picture; at least one in each direction."""
        if self.crop == "none":
            return 0, 0, width, height
        if self.crop == "centre":
            scale = min(height / self.height, width / self.width)
            kept = max(1, round(self.width * scale)), max(1, round(self.height * scale))
            left, top = (width - kept[0]) // 2, (height - kept[1]) // 2
            return left, top, left + kept[0], top + kept[1]
        left, top = min(round(self.crop[0] * width), width - 1), min(round(self.crop[1] * height), height - 1)
        return left, top, max(left + 1, round(self.crop[2] * width)), max(top + 1, round(self.crop[3] * height))


def _check_box(box: object) -> None:
    numbers = isinstance(box, list) and all(type(value) in (int, float) for value in box) and len(box) == 4
    if not (numbers and 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
        raise FeatureError("crop", "none, centre or [left, top, right, bottom] in 0..1", repr(box))


def _shown(container: "InputContainer", stream: "Stream", times: list[float], field: str) -> Iterator["VideoFrame"]:
    """The frame shown at each of the rising `times` (s from the beginning of the file)."""
    origin = origin_of(container)
    source, shown, coming = None, None, None
    for time in times:
        if source is None or (coming is not None and time - (coming.time - origin) > _SEEK):
            source = decoded_from(container, stream, time)
            shown, coming = None, next(source, None)
        while coming is not None and coming.time - origin <= time:
            shown, coming = coming, next(source, None)
        frame = coming if shown is None else shown  # before the first frame, that one
        if frame is None:
            raise FeatureError(field, "at least one frame", "0 frames")
        if coming is None and time - (frame.time - origin) > CUT_SHORT + _duration(stream):
            given = f"frames until {frame.time - origin:.2f} s"
            raise FeatureError(field, f"a frame at {time:.2f} s", given, "the file is cut short")
        yield frame


def _duration(stream: "Stream") -> float:
    """How long a frame is shown, in s, where the file says so."""
    return 0.0 if not stream.average_rate else float(1 / stream.average_rate)
