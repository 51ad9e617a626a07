"""Scaling fitted on training utterances: values chosen, an offset taken off, divided by a scale."""

from dataclasses import dataclass

import numpy as np

from mm_emotion.errors import CheckpointError, FeatureError

SCALINGS = ("standard", "min_max", "none")
"""Mean 0 and deviation 1, from 0 to 1, or left as they are: on the training utterances."""


@dataclass(frozen=True)
class Scaling:
    """(array[..., indices] - offset) / scale, with `offset` and `scale` (D,) and `indices` (D,) or None for all."""

    offset: np.ndarray
    scale: np.ndarray
    indices: np.ndarray | None = None

    def __post_init__(self):
        for name in ("offset", "scale"):
            values = getattr(self, name)
            if values.ndim != 1 or values.shape != self.offset.shape or not np.isfinite(values).all():
                raise CheckpointError(name, "a finite number for each value", f"shape {values.shape}")
        if not (self.scale > 0).all():
            raise CheckpointError("scale", "numbers above 0", self.scale.min())
        if self.indices is not None and (self.indices.shape != self.offset.shape or self.indices.min() < 0):
            raise CheckpointError("indices", f"{len(self.offset)} numbers of values", f"shape {self.indices.shape}")

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """The scaled values (..., D) float32 of an array (..., D0); FeatureError where that is too narrow."""
        if self.indices is not None:
            if self.indices.max() >= array.shape[-1]:
                raise FeatureError("feature", f"more than {self.indices.max()} values", array.shape[-1])
            array = array[..., self.indices]
        if array.shape[-1:] != self.offset.shape:
            raise FeatureError("feature", f"{len(self.offset)} values", f"shape {array.shape}")
        return ((array - self.offset) / self.scale).astype(np.float32)

    def tensors(self) -> dict[str, np.ndarray]:
        """The arrays by name, for a file."""
        named = {"offset": self.offset, "scale": self.scale, "indices": self.indices}
        return {name: values for name, values in named.items() if values is not None}


class Statistics:
    """Mean, deviation and range of each value over all that was added, in constant memory (Chan et al., 1979)."""

    def __init__(self):
        self.count = 0
        self.mean = self.squares = self.low = self.high = None

    def add(self, array: np.ndarray) -> None:
        """Count a vector (D,), or each step of a sequence (T, D).

        Errors: FeatureError for another width, no step, or values that are not finite.
        """
        table = np.atleast_2d(np.asarray(array, dtype=np.float64))  # (N, D)
        if table.ndim != 2 or len(table) == 0 or (self.count and table.shape[1] != len(self.mean)):
            width = "at least one step" if not self.count else f"steps of {len(self.mean)} values"
            raise FeatureError("feature", width, f"shape {table.shape}")
        if not np.isfinite(table).all():
            raise FeatureError("feature", "finite values", "NaN or infinite ones")
        mean, squares = table.mean(axis=0), np.square(table - table.mean(axis=0)).sum(axis=0)
        low, high = table.min(axis=0), table.max(axis=0)
        if self.count:
            total, step = self.count + len(table), mean - self.mean
            squares = squares + self.squares + np.square(step) * self.count * len(table) / total
            mean = self.mean + step * len(table) / total
            low, high = np.minimum(low, self.low), np.maximum(high, self.high)
        self.count += len(table)
        self.mean, self.squares, self.low, self.high = mean, squares, low, high

    def scaling(self, kind: str) -> Scaling:
        """What brings the values to the `kind` of `SCALINGS`; values that hardly vary keep their scale."""
        if self.count == 0:
            raise FeatureError("vectors", "at least one training utterance with this feature", "none")
        if kind == "none":
            return Scaling(np.zeros_like(self.mean), np.ones_like(self.mean))
        if kind == "min_max":
            offset, scale = self.low, self.high - self.low
        else:
            offset, scale = self.mean, np.sqrt(self.squares / self.count)
        # float32 values of a constant differ in their last digit, which must not be blown up to 1.
        return Scaling(offset, np.where(scale > 1e-5 * np.maximum(np.abs(self.mean), 1), scale, 1.0))
