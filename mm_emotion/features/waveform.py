"""The waveform itself, as pretrained speech models read it."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from mm_emotion.errors import FeatureError
from mm_emotion.features.sound import checked_waveform, resample

_LEAST_VARIANCE = 1e-7


@dataclass(frozen=True)
class Waveform:
    """The `waveform` feature: mono sound at `sampling_rate` to (T, 1).

    With `normalize` each utterance has mean 0 and variance 1, as the feature extractor of wav2vec 2.0 makes it
    (`do_normalize`). What comes after `max_seconds` is left out. Errors: FeatureError for an impossible option.
    """

    name: ClassVar[str] = "waveform"
    version: ClassVar[int] = 1
    licence: ClassVar[str | None] = None
    axes: ClassVar[int] = 2

    sampling_rate: int = 16000
    normalize: bool = True
    max_seconds: float = 20.0

    def __post_init__(self):
        if type(self.sampling_rate) is not int or self.sampling_rate < 1:
            raise FeatureError("sampling_rate", "a whole number of Hz of at least 1", repr(self.sampling_rate))
        if type(self.max_seconds) not in (int, float) or not 0 < self.max_seconds < float("inf"):
            raise FeatureError("max_seconds", "a time above 0", repr(self.max_seconds))

    def __call__(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        signal, rate = resample(checked_waveform(waveform), sampling_rate, self.sampling_rate)
        signal = signal[: max(1, round(self.max_seconds * rate))].astype(np.float32)
        if self.normalize:
            signal = (signal - signal.mean()) / np.sqrt(signal.var() + _LEAST_VARIANCE)
        return signal[:, None]
