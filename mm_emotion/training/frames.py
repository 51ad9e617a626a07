"""Settings of frame-level affect: how far labels lag behind the signal, and how outputs are smoothed."""

import math
from dataclasses import dataclass, field
from typing import Literal

from mm_emotion.errors import RecipeError


@dataclass(frozen=True)
class Frames:
    """Utterances are frames of a recording, `frame_step` s apart.

    Of several `delays` (s) the one that does best by CCC on the validation part is kept. Train labels are moved by it;
    what they leave without a label is not trained on, or with `keep_length` has the last label of its recording.
    Outputs are then delayed by as much, smoothed (`smoothing_width` in s: the window of a median, the deviation of a
    Gaussian), and judged against the labels as they are, in each scaling of `metrics.outputs`, whose constants come
    from the labels of `scaling_labels`.
    """

    delays: list[float] = field(default_factory=lambda: [0.0])
    frame_step: float = 0.1
    keep_length: bool = False
    smoothing: Literal["none", "median", "gaussian"] = "none"
    smoothing_width: float = 0.0
    scaling_labels: Literal["train", "validation"] = "train"

    def check(self) -> None:
        """Raise RecipeError for times that cannot be."""
        if not self.delays or not all(0 <= delay < math.inf for delay in self.delays):
            raise RecipeError("frames.delays", "seconds of at least 0", self.delays)
        if len(set(self.delays)) != len(self.delays):
            raise RecipeError("frames.delays", "each delay once", self.delays)
        if not 0 < self.frame_step < math.inf:
            raise RecipeError("frames.frame_step", "seconds above 0", self.frame_step)
        if (self.smoothing == "none") != (self.smoothing_width == 0) or not 0 <= self.smoothing_width < math.inf:
            raise RecipeError("frames.smoothing_width", "seconds above 0 for a smoothing, else 0", self.smoothing_width)
