"""Configuration of the dense network on acoustic functionals."""

from typing import Literal

from mm_emotion.errors import ConfigError
from mm_emotion.models.configuration_emotion import EmotionConfig


class AudioDenseConfig(EmotionConfig):
    """One vector of one modality -> `hidden_size` units, normalised, ReLU -> labels.

    `norm_position` puts the norm before or behind the ReLU; `dropout` acts in front of the classifier.
    """

    model_type = "audio_dense"

    norm: Literal["layer", "batch", "none"] = "layer"
    norm_position: Literal["before_activation", "after_activation"] = "before_activation"
    norm_epsilon: float = 1e-3

    def check(self) -> None:
        super().check()
        if len(self.modality_dims) != 1:
            raise ConfigError("modality_dims", "one modality and its width", self.modality_dims)
        if not 0 < self.norm_epsilon < 1:
            raise ConfigError("norm_epsilon", "a number between 0 and 1", self.norm_epsilon)
