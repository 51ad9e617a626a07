"""Word alignment of feature streams with different clocks, as the CMU multimodal SDK defines it.

Every stream of a video is cut by the intervals of a reference, mostly its words, and what falls into one interval is
averaged by the time it shares with it. A video is done at once: the rows that can meet an interval are a range between
two binary searches, and the averages are one sparse product.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

from mm_emotion.errors import FeatureError

TOUCH = 1e-5
"""Seconds; what overlaps by no more does not overlap."""

Collapse = Literal["weighted_average", "plain_average"]


@dataclass(frozen=True)
class Segments:
    """Rows of one stream of one video: intervals (N, 2) in seconds, features (N, D).

    `entries` (N,) is the reference row that each row belongs to, which the SDK writes into its ids as `video[entry]`.

    Raises:
        FeatureError: the shapes do not fit, or an interval ends before it starts or is not finite.
    """

    intervals: np.ndarray
    features: np.ndarray
    entries: np.ndarray | None = None

    def __post_init__(self):
        count = len(self.features)
        if self.intervals.shape != (count, 2):
            raise FeatureError("intervals", f"shape ({count}, 2), one for each row of features", self.intervals.shape)
        if self.features.ndim < 2:
            raise FeatureError("features", "at least two axes, rows first", self.features.shape)
        if not np.isfinite(self.intervals).all() or (self.intervals[:, 1] < self.intervals[:, 0]).any():
            raise FeatureError("intervals", "finite, each ending no earlier than it starts", "others")
        if self.entries is None:
            object.__setattr__(self, "entries", np.arange(count))
        elif self.entries.shape != (count,):
            raise FeatureError("entries", f"shape ({count},)", self.entries.shape)

    def __len__(self) -> int:
        return len(self.features)

    def take(self, rows: np.ndarray) -> "Segments":
        """Some of the rows, in the order given."""
        return Segments(self.intervals[rows], self.features[rows], self.entries[rows])

    def sorted(self) -> "Segments":
        """By start; rows that start together stay in order."""
        if (self.intervals[1:, 0] >= self.intervals[:-1, 0]).all():
            return self
        return self.take(np.argsort(self.intervals[:, 0], kind="stable"))


Stream = Mapping[str, Segments]
"""The segments of each video."""


def joined(stream: Stream) -> dict[str, Segments]:
    """The chunks `video[3]` of a stream, as an aligned file names them, joined under `video` by start.

    `entries` are the numbers in brackets, or those of the chunk where its name has none.

    Raises:
        FeatureError: something else than a number in brackets, or features of several shapes under one video.
    """
    chunks: dict[str, list[Segments]] = {}
    for name, segments in stream.items():
        video, bracket, number = name.partition("[")
        if bracket and not number.removesuffix("]").isdecimal():
            raise FeatureError(f"entry {name!r}", "a number in brackets behind the video's name", repr(number))
        entries = np.full(len(segments), int(number.removesuffix("]"))) if bracket else segments.entries
        chunks.setdefault(video, []).append(Segments(segments.intervals, segments.features, entries))
    for video, parts in chunks.items():
        shapes = {part.features.shape[1:] for part in parts}
        if len(shapes) > 1:
            raise FeatureError(f"features of {video!r}", "one width", sorted(shapes))
    return {
        video: Segments(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("intervals", "features", "entries"))
        ).sorted()
        for video, parts in chunks.items()
    }


def unify(streams: Mapping[str, Stream]) -> dict[str, dict[str, Segments]]:
    """The streams with the videos that all of them have, in the order of the first."""
    shared = [video for video in next(iter(streams.values())) if all(video in stream for stream in streams.values())]
    return {name: {video: stream[video] for video in shared} for name, stream in streams.items()}


def align(
    streams: Mapping[str, Stream], reference: str, collapse: Collapse | None = "weighted_average"
) -> dict[str, dict[str, Segments]]:
    """Cut every stream by the intervals of `streams[reference]`; `entries` then count its rows by start.

    With `collapse` each entry is one row: the mean of what meets the interval, weighted by the time shared with it or
    plain, over the stretch that is covered, with 0 for values that are not finite. Without, all rows are kept, clipped
    to the interval. An entry that nothing meets has no row (`impute` gives it one); reference rows without length are
    left out.

    Raises:
        FeatureError: there is no such reference.
    """
    if reference not in streams:
        raise FeatureError("reference", f"one of {list(streams)}", repr(reference))
    streams = unify(streams)
    aligned: dict[str, dict[str, Segments]] = {name: {} for name in streams}
    for video, words in streams[reference].items():
        words = words.sorted()
        words = Segments(words.intervals, words.features)
        words = words.take(np.flatnonzero(np.ptp(words.intervals, axis=1) >= TOUCH))
        for name, stream in streams.items():
            aligned[name][video] = words if name == reference else _cut(words, stream[video].sorted(), collapse)
    return aligned


def impute(aligned: Mapping[str, Stream], reference: str) -> dict[str, dict[str, Segments]]:
    """The streams with zeros, over the interval of the reference, for each of its entries that they lack."""
    return {
        name: {video: _imputed(segments, aligned[reference][video]) for video, segments in stream.items()}
        for name, stream in aligned.items()
    }


def hard_unify(aligned: Mapping[str, Stream]) -> dict[str, dict[str, Segments]]:
    """The streams with the entries that all of them have."""
    streams = unify(aligned)
    kept: dict[str, dict[str, Segments]] = {name: {} for name in streams}
    for video in next(iter(streams.values())):
        parts = [np.unique(stream[video].entries) for stream in streams.values()]
        shared = parts[0]
        for part in parts[1:]:
            shared = np.intersect1d(shared, part, assume_unique=True)
        for name, stream in streams.items():
            kept[name][video] = stream[video].take(np.flatnonzero(np.isin(stream[video].entries, shared)))
    return kept


def sequences(stream: Stream, length: int, pad_side: Literal["left", "right"] = "left") -> dict[str, np.ndarray]:
    """The rows of each entry as one sequence (E, length, D) of a video's E entries, in their order.

    Padded with zeros on the left the last `length` rows are kept, on the right the first.
    """
    found = {}
    for video, segments in stream.items():
        order = np.argsort(segments.entries, kind="stable")
        _, starts, counts = np.unique(segments.entries[order], return_index=True, return_counts=True)
        places = np.arange(len(order)) - np.repeat(starts, counts)  # of each row within its entry
        sizes = np.repeat(counts, counts)
        places = places + (length - sizes if pad_side == "left" else 0)
        fits = (places >= 0) & (places < length)
        made = np.zeros((len(starts), length, *segments.features.shape[1:]), segments.features.dtype)
        made[np.repeat(np.arange(len(starts)), counts)[fits], places[fits]] = segments.features[order][fits]
        found[video] = made
    return found


def _cut(words: Segments, segments: Segments, collapse: Collapse | None) -> Segments:
    """The rows of `segments` that meet each word, both sorted by start."""
    word, row, clipped = _overlaps(words.intervals, segments.intervals)
    if collapse is None:
        return Segments(clipped, segments.features[row], words.entries[word])
    first = np.flatnonzero(np.diff(word, prepend=-1))  # the pairs of a word lie together
    hit, ends = word[first], np.append(first, len(word))
    shared = clipped[:, 1] - clipped[:, 0] if collapse == "weighted_average" else np.ones(len(word))
    weights = sparse.csr_array((shared, row, ends), (len(hit), len(segments)))
    totals = np.add.reduceat(shared, first) if len(hit) else shared
    shape, kind = segments.features.shape[1:], segments.features.dtype
    values = segments.features.reshape(len(segments), math.prod(shape))
    sums = weights @ values
    if not np.isfinite(sums).all():
        sums = weights @ np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    means = (sums / totals[:, None]).reshape(len(hit), *shape)
    # The mean of whole numbers is seldom one.
    kind = means.dtype if np.issubdtype(kind, np.integer) else kind
    begin = np.minimum.reduceat(clipped[:, 0], first) if len(hit) else clipped[:, 0]
    end = np.maximum.reduceat(clipped[:, 1], first) if len(hit) else clipped[:, 1]
    return Segments(np.stack([begin, end], 1), means.astype(kind), words.entries[hit])


def _overlaps(words: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of a word and a row that share more than TOUCH: their numbers (M,) and what they share (M, 2)."""
    # A long row may reach past later ones, so rows are bounded by the latest end so far, not by their own.
    first = np.searchsorted(np.maximum.accumulate(rows[:, 1]), words[:, 0], side="right")
    last = np.searchsorted(rows[:, 0], words[:, 1], side="left")
    counts = np.maximum(last - first, 0)
    word = np.repeat(np.arange(len(words)), counts)
    row = np.arange(len(word)) + np.repeat(first - np.cumsum(counts) + counts, counts)
    begin = np.maximum(np.repeat(words[:, 0], counts), rows[:, 0].take(row))
    end = np.minimum(np.repeat(words[:, 1], counts), rows[:, 1].take(row))
    meets = np.flatnonzero(end - begin > TOUCH)
    return word[meets], row[meets], np.stack([begin[meets], end[meets]], 1)


def _imputed(segments: Segments, words: Segments) -> Segments:
    absent = np.flatnonzero(~np.isin(words.entries, segments.entries))
    zeros = np.zeros((len(absent), *segments.features.shape[1:]), segments.features.dtype)
    entries = np.concatenate([segments.entries, words.entries[absent]])
    order = np.argsort(entries, kind="stable")
    return Segments(
        np.concatenate([segments.intervals, words.intervals[absent]]),
        np.concatenate([segments.features, zeros]),
        entries,
    ).take(order)
