"""The feature extractor of a processor: sound to one standardised vector an utterance."""

from collections.abc import Iterable

import numpy as np
from transformers import FeatureExtractionMixin

from mm_emotion.errors import CheckpointError, FeatureError, nearest
from mm_emotion.features.functionals import FUNCTIONAL_NAMES, VERSION, acoustic_functionals

_FILE_KEYS = ("feature_extractor_type", "processor_class", "auto_map")  # what transformers adds to a saved extractor


class EmotionFeatureExtractor(FeatureExtractionMixin):
    """Waveforms to the vectors of one acoustic feature, standardised by what `fit` saw; `feature=None` makes nothing.

    `mean` and `scale` (D each, None before `fit`) and the feature's version are saved with it, and the width of the
    latent semantic vectors of its processor, 0 for none, so that a lost file is noticed. Errors: FeatureError
    for an unknown feature, a wrong width or use before `fit`, CheckpointError for a saved version other than the
    installed one.
    """

    model_input_names = ["audio"]  # noqa: RUF012 (declared this way by the base)

    def __init__(
        self,
        feature: str | None = None,
        version: int | None = None,
        mean: list[float] | None = None,
        scale: list[float] | None = None,
        text_dimensions: int = 0,
        **kwargs,
    ):
        if feature not in (None, "functionals"):
            raise FeatureError("feature", "'functionals' or None", repr(feature))
        if feature is not None and version not in (None, VERSION):
            raise CheckpointError(f"version of {feature}", VERSION, version, "fit the processor again")
        for field, values in (("mean", mean), ("scale", scale)):
            if values is not None and np.shape(values) != (len(FUNCTIONAL_NAMES),):
                raise FeatureError(field, f"{len(FUNCTIONAL_NAMES)} numbers", f"shape {np.shape(values)}")
            if values is not None and not (np.isfinite(values).all() and (field == "mean" or min(values) > 0)):
                raise FeatureError(field, "finite numbers, above 0 for scale", "others")
        check_known("feature extractor", kwargs, _FILE_KEYS)
        super().__init__(**kwargs)
        self.feature, self.version = feature, None if feature is None else VERSION
        self.mean, self.scale = mean, scale
        self.text_dimensions = text_dimensions

    @property
    def is_fitted(self) -> bool:
        """Whether there is a standardisation, without which no model has ever seen the vectors."""
        return self.mean is not None and self.scale is not None

    def extract(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        """Vector (D,) float32 of a mono waveform (N,), before standardisation."""
        if self.feature is None:
            raise FeatureError("feature", "'functionals'", None, "this extractor makes nothing")
        return acoustic_functionals(waveform, sampling_rate)

    def fit(self, vectors: Iterable[np.ndarray]) -> "EmotionFeatureExtractor":
        """Keep the mean and deviation of `vectors`, each (D,), of the training utterances; constant values keep 1."""
        table = np.asarray([np.asarray(vector, dtype=np.float64) for vector in vectors])  # (N, D)
        if table.ndim != 2 or table.shape[1] != len(FUNCTIONAL_NAMES):
            raise FeatureError("vectors", f"at least one of {len(FUNCTIONAL_NAMES)} values", f"shape {table.shape}")
        mean, deviation = table.mean(axis=0), table.std(axis=0)
        # float32 values of a constant differ in their last digit, which must not be blown up to 1.
        self.mean = mean.tolist()
        self.scale = np.where(deviation > 1e-5 * np.maximum(np.abs(mean), 1), deviation, 1.0).tolist()
        return self

    def __call__(self, waveform: np.ndarray, sampling_rate: int) -> np.ndarray:
        """Vector (D,) float32 of a mono waveform (N,), standardised."""
        vector = self.extract(waveform, sampling_rate)
        if not self.is_fitted:
            raise FeatureError("feature extractor", "mean and scale of training utterances", "none", "call fit first")
        return ((vector - np.asarray(self.mean)) / np.asarray(self.scale)).astype(np.float32)


def check_known(field: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise FeatureError(field, f"any of {', '.join(known)}", repr(name), nearest(name, known))
