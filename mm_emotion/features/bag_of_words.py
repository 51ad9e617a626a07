"""Bags of audio or video words: low-level descriptors counted by the nearest entries of a codebook, in sliding windows.

A codebook is found by mini-batch k-means on the standardised descriptors of the train part (extra `baselines`). A frame
is assigned softly: its `assigned` nearest words share a count of 1 by a Gaussian of their distance, whose width is the
mean distance of a train frame from its word. A window of 6 s every 0.1 s is the mean of its frames' counts, which makes
the bag of a segment at the rate of SEWA's annotation (after Schmitt and Schuller, "openXBOW", JMLR 18, 2017).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from mm_emotion.atomic import replace_file
from mm_emotion.errors import CheckpointError, FeatureError, MissingExtraError

WINDOW = 6.0
"""Seconds of one bag."""

_BLOCK = 2048  # frames assigned at a time: a codebook of 3 000 words needs 50 MB


@dataclass(frozen=True)
class Codebook:
    """Words (K, D) among descriptors standardised by `mean` and `scale` (D,), and the width of the soft assignment."""

    words: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    width: float
    assigned: int = 10

    def __post_init__(self):
        size, dimensions = self.words.shape if self.words.ndim == 2 else (0, -1)
        shapes = {self.mean.shape, self.scale.shape}
        arrays = (self.words, self.mean, self.scale)
        if not size or shapes != {(dimensions,)} or not all(np.isfinite(array).all() for array in arrays):
            raise CheckpointError("codebook", "words (K, D) with a mean and a scale (D,)", f"shapes {shapes}")
        if not (self.scale > 0).all() or not 0 < self.width < np.inf:
            raise CheckpointError("codebook", "a scale and a width above 0", self.width)
        if not 1 <= self.assigned <= size:
            raise CheckpointError("assigned", f"1 to {size} words", self.assigned)

    @property
    def size(self) -> int:
        return len(self.words)

    def counts(self, frames: np.ndarray) -> np.ndarray:
        """The count of each word in each frame: (T, D) descriptors to (T, K) float32, rows that sum to 1.

        Raises:
            FeatureError: another width, no frame, or values that are not finite.
        """
        frames = (_checked("frames", frames, self.words.shape[1]) - self.mean) / self.scale
        found = np.zeros((len(frames), self.size), dtype=np.float32)
        norms = np.square(self.words).sum(axis=1)
        for start in range(0, len(frames), _BLOCK):
            block = frames[start : start + _BLOCK]
            squares = np.square(block).sum(axis=1)[:, None] - 2 * block @ self.words.T + norms  # (t, K)
            nearest = np.argpartition(squares, self.assigned - 1, axis=1)[:, : self.assigned]
            near = np.take_along_axis(squares, nearest, axis=1)
            # Against the nearest word, so that a frame far from all of them still counts.
            shares = np.exp((near.min(axis=1, keepdims=True) - near) / (2 * self.width**2))
            rows = found[start : start + _BLOCK]
            np.put_along_axis(rows, nearest, (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32), axis=1)
        return found

    def bags(self, frames: np.ndarray, hop: float, *, window: float = WINDOW, step: float = 0.1) -> np.ndarray:
        """Bags (S, K) of the windows centred on 0, `step`, 2 `step`, .. s of descriptors (T, D) every `hop` s.

        A window that reaches beyond an end holds what there is. Raises FeatureError as `counts`, and for times that are
        not above 0.
        """
        for field, value in (("hop", hop), ("window", window), ("step", step)):
            if not 0 < value < np.inf:
                raise FeatureError(field, "seconds above 0", value)
        counts = self.counts(frames)
        sums = np.concatenate([np.zeros((1, self.size)), np.cumsum(counts, axis=0, dtype=np.float64)])  # (T + 1, K)
        centres = np.arange(max(1, round(len(counts) * hop / step))) * step
        first = np.clip(np.round((centres - window / 2) / hop), 0, len(counts) - 1).astype(int)
        last = np.clip(np.round((centres + window / 2) / hop), first + 1, len(counts)).astype(int)
        return ((sums[last] - sums[first]) / (last - first)[:, None]).astype(np.float32)

    def bag(self, frames: np.ndarray) -> np.ndarray:
        """One bag (K,) of all frames (T, D), for a short recording."""
        return self.counts(frames).mean(axis=0)

    def save(self, path: Path) -> None:
        """Write the codebook as one safetensors file."""
        tensors = {name: np.ascontiguousarray(getattr(self, name)) for name in ("words", "mean", "scale")}
        facts = {"codebook": json.dumps({"width": self.width, "assigned": self.assigned})}
        with replace_file(Path(path)) as temporary:
            save_file(tensors, temporary, metadata=facts)

    @classmethod
    def load(cls, path: Path) -> "Codebook":
        """Read what `save` wrote; raises CheckpointError for anything else."""
        try:
            with safe_open(path, "numpy") as file:
                facts = json.loads((file.metadata() or {})["codebook"])
            return cls(**load_file(path), **facts)
        except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"codebook {path}", "a file written by Codebook.save", error) from error


def fit_codebook(
    recordings: Sequence[np.ndarray], size: int, *, seed: int = 0, assigned: int = 10, batch_size: int = 4096
) -> Codebook:
    """A codebook of `size` words from the descriptors (T, D) of each train recording.

    Raises:
        FeatureError: no recording, other widths, values that are not finite, or fewer frames than words.
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.cluster import MiniBatchKMeans
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "baselines") from error
    if not recordings:
        raise FeatureError("recordings", "at least one", "none")
    if size < 1:
        raise FeatureError("size", "at least one word", size)
    width = np.shape(recordings[0])[-1] if np.ndim(recordings[0]) else 0
    frames = np.concatenate([_checked("frames", part, width) for part in recordings])
    if len(frames) < size:
        raise FeatureError("frames", f"at least {size}, one for each word", len(frames))
    mean, scale = frames.mean(axis=0), frames.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    standard = (frames - mean) / scale
    found = MiniBatchKMeans(size, random_state=seed, batch_size=batch_size, n_init=1).fit(standard)
    words = found.cluster_centers_
    sample = standard[np.random.default_rng(seed).permutation(len(standard))[:_BLOCK]]
    distances = np.sqrt(np.square(sample - words[found.predict(sample)]).sum(axis=1)).mean()
    return Codebook(words, mean, scale, max(float(distances), 1e-6), min(assigned, size))


def _checked(field: str, frames: np.ndarray, width: int) -> np.ndarray:
    table = np.asarray(frames, dtype=np.float64)
    if table.ndim != 2 or not len(table) or table.shape[1] != width or not width:
        raise FeatureError(field, f"shape (T, {width or 'D'}), T at least 1", table.shape)
    if not np.isfinite(table).all():
        raise FeatureError(field, "finite values", f"{np.count_nonzero(~np.isfinite(table))} NaN or infinite")
    return table
