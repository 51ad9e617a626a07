"""Acoustic functionals of openSMILE, one vector an utterance, through the optional package `opensmile`.

openSMILE (Eyben et al., 2010) is under the audEERING research licence: free for non-commercial research, not for
products, nor for products made with models trained on its features. This package does not contain it.
"""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import numpy as np

from mm_emotion.errors import FeatureError, MissingExtraError, nearest
from mm_emotion.features.sound import checked_waveform, resample

WIDTHS = {"ComParE_2016": 6373, "eGeMAPSv02": 88, "emobase": 988}
"""Feature sets and their number of functionals."""

LICENCE = (
    "features computed with openSMILE, audEERING research licence: non-commercial research only, also for what is "
    "trained on them"
)


@dataclass(frozen=True)
class OpenSmile:
    """The `opensmile` feature: a waveform to the functionals (D,) float32 of a set of `WIDTHS`.

    The sound is brought to `sampling_rate` (Hz; None: left as it is), since the values depend on it.
    Errors: FeatureError for an unknown set.
    """

    name: ClassVar[str] = "opensmile"
    version: ClassVar[int] = 1
    licence: ClassVar[str | None] = LICENCE
    axes: ClassVar[int] = 1

    feature_set: str = "ComParE_2016"
    sampling_rate: int | None = 16000

    def __post_init__(self):
        if self.feature_set not in WIDTHS:
            expected = f"one of {', '.join(WIDTHS)}"
            raise FeatureError("feature_set", expected, repr(self.feature_set), nearest(self.feature_set, WIDTHS))

    def __call__(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        """The vector of a mono waveform (N,).

        Errors: FeatureError for a bad waveform or one too short for the set, MissingExtraError without the package.
        """
        smile = _smile(self.feature_set)
        signal, rate = resample(checked_waveform(waveform), sampling_rate, self.sampling_rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # a clip too short is told below, as an error
            vector = smile.process_signal(signal.astype(np.float32), rate).to_numpy(dtype=np.float32)[0]  # (D,)
        if vector.shape != (WIDTHS[self.feature_set],):
            raise FeatureError(f"opensmile {self.feature_set}", f"{WIDTHS[self.feature_set]} values", vector.shape)
        if not np.isfinite(vector).all():
            given = f"{np.count_nonzero(~np.isfinite(vector))} without a value in {len(signal) / rate:.3f} s of sound"
            raise FeatureError(f"opensmile {self.feature_set}", "finite values", given, "is the sound too short?")
        return vector


@lru_cache(maxsize=len(WIDTHS))
def _smile(feature_set: str):
    try:
        import opensmile
    except ImportError as error:
        raise MissingExtraError("opensmile", "opensmile") from error
    return opensmile.Smile(feature_set, feature_level="func")
