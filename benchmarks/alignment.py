"""Contenders for word alignment: cutting feature streams by the intervals of words, as the CMU SDK defines it."""

from collections.abc import Iterator
from functools import partial

import numpy as np
from timing import Case, Contest

from mm_emotion.features.align import TOUCH, Segments, align

RATE = 100  # of the features, in Hz
WORD_SECONDS = 0.3  # of a word on average, as people speak
WIDTH = 74  # of the features, as COVAREP's
TOLERANCE = 1e-6


def cases(device: str) -> Iterator[Case]:
    """A thousand words, in videos of about a minute and in one long one."""
    if device == "cpu":
        for videos in (5, 1):
            yield case(videos, 1000 // videos)


def case(videos: int, words: int, width: int = WIDTH) -> Case:
    """One case: `words` in each of `videos`."""
    shape = f"{videos} x {words} words, {RATE} Hz x {width}"
    return Case("word alignment", shape, "call", partial(contest, videos, words, width), flops=None)


def contest(videos: int, words: int, width: int) -> Contest:
    """The contenders; each gives the interval (V*W, 2) and the mean (V*W, D) of every word, one below the other."""
    random = np.random.default_rng(0)
    spoken, frames = {}, {}
    for video in map(str, range(videos)):
        edges = np.cumsum(random.uniform(0.5, 1.5, words + 1) * WORD_SECONDS)
        ticks = np.arange(int(edges[-1] * RATE)) / RATE
        values = random.standard_normal((len(ticks), width), dtype=np.float32)
        spoken[video] = Segments(np.stack([edges[:-1], edges[1:]], 1), np.zeros((words, 1)))
        frames[video] = Segments(np.stack([ticks, ticks + 1 / RATE], 1), values)
    listed = {video: [tuple(interval) for interval in frames[video].intervals.tolist()] for video in frames}
    words_of = {video: [tuple(interval) for interval in spoken[video].intervals.tolist()] for video in spoken}

    def joined(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, ...]:
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))

    def looped() -> tuple[np.ndarray, ...]:
        return joined([literal(words_of[video], listed[video], frames[video].features) for video in frames])

    def one_by_one() -> tuple[np.ndarray, ...]:
        return joined([by_word(spoken[video].intervals, frames[video]) for video in frames])

    def ours() -> tuple[np.ndarray, ...]:
        found = align({"words": spoken, "frames": frames}, "words")["frames"].values()
        return joined([(segments.intervals, segments.features) for segments in found])

    return Contest({"literal loop": looped, "NumPy, word by word": one_by_one, "ours": ours}, same)


def literal(
    words: list[tuple[float, float]], rows: list[tuple[float, float]], values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Every word looks at every row of its video, as the definition reads."""
    intervals, means = [], []
    for begin, end in words:
        if abs(end - begin) < TOUCH:
            continue
        kept = []
        for index, (start, stop) in enumerate(rows):
            if stop - begin > -TOUCH and end - start > -TOUCH:
                start, stop = max(start, begin), min(stop, end)
                if stop - start > TOUCH:
                    kept.append((start, stop, values[index]))
        if kept:
            shared = sum(stop - start for start, stop, _ in kept)
            intervals.append((min(start for start, _, _ in kept), max(stop for _, stop, _ in kept)))
            means.append(sum(np.float64(stop - start) * value for start, stop, value in kept) / shared)
    return np.array(intervals), np.array(means)


def by_word(words: np.ndarray, frames: Segments) -> tuple[np.ndarray, np.ndarray]:
    """A loop over words alone; each looks at all rows at once."""
    intervals, means = [], []
    for begin, end in words:
        start, stop = np.maximum(frames.intervals[:, 0], begin), np.minimum(frames.intervals[:, 1], end)
        meets = np.flatnonzero(stop - start > TOUCH)
        if end - begin >= TOUCH and len(meets):
            shared = stop[meets] - start[meets]
            intervals.append((start[meets].min(), stop[meets].max()))
            means.append(shared @ frames.features[meets] / shared.sum())
    return np.array(intervals), np.array(means)


def same(results: dict[str, tuple[np.ndarray, ...]]) -> None:
    """Every contender's numbers are those of the first; raises AssertionError."""
    (_, expected), *others = results.items()
    for name, result in others:
        for one, other in zip(expected, result, strict=True):
            np.testing.assert_allclose(other, one, rtol=0, atol=TOLERANCE, err_msg=name)
