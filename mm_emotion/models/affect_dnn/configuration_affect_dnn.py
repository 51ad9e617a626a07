"""Configuration of the dense network for continuous affect."""

from typing import Literal

from mm_emotion.errors import ConfigError
from mm_emotion.models.configuration_emotion import EmotionConfig


class AffectDNNConfig(EmotionConfig):
    """Dense layers for each modality, one over all of them, one linear output.

    `layers` holds the widths of each modality's layers, as many for each; `hidden_size` is the width of the fusion
    layer. `early_fusion` reads all modalities side by side instead, through layers as wide as those of the modalities
    together. `input_scaling` compresses counts of a bag of words.
    """

    model_type = "affect_dnn"

    layers: dict[str, list[int]] | None = None
    early_fusion: bool = False
    input_scaling: Literal["none", "log1p"] = "none"

    def __post_init__(self, **kwargs):
        if self.problem_type is None:
            self.problem_type = "regression"
        super().__post_init__(**kwargs)

    def check(self) -> None:
        super().check()
        self.require_modality()
        if self.layers is None or set(self.layers) != set(self.modality_dims):
            raise ConfigError("layers", f"widths for each of {self.modalities}", self.layers)
        depths = {len(widths) for widths in self.layers.values()}
        if len(depths) != 1 or 0 in depths:
            raise ConfigError("layers", "as many widths for each modality, at least one", self.layers)
        for modality, widths in self.layers.items():
            for width in widths:
                self.require_at_least(f"layers[{modality!r}]", width, 1)
