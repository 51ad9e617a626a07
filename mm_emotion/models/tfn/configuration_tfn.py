"""Configuration of the Tensor Fusion Network."""

import math
from typing import Any, Literal

from mm_emotion.errors import ConfigError
from mm_emotion.models.configuration_emotion import EmotionConfig

_PUBLISHED = {"text": 128, "audio": 32, "visual": 128}


class TFNConfig(EmotionConfig):
    """A subnetwork for each of two or three modalities -> their outer product -> two dense layers of `hidden_size`.

    `subnet_sizes` maps each modality to the hidden width of its subnetwork, by default as published. Text comes as a
    `sequence` of words, read by an LSTM and brought to `text_output_size`, or as a `vector` like the other modalities.
    `subnet_dropout` acts in each subnetwork, `dropout` on the outer product. A regression may be bounded:
    `output_range` [low, high] ends it in a sigmoid, as published with [-3, 3].
    """

    model_type = "tfn"

    hidden_size: int = 64
    subnet_sizes: dict[str, int] | None = None
    text_input: Literal["sequence", "vector"] = "sequence"
    text_output_size: int = 32
    subnet_dropout: float = 0.0
    output_range: list[float] | None = None

    def __post_init__(self, **kwargs: Any) -> None:
        given = {} if self.subnet_sizes is None else self.subnet_sizes
        defaults = {name: _PUBLISHED[name] for name in self.modality_dims or {} if name in _PUBLISHED}
        self.subnet_sizes = defaults | given
        super().__post_init__(**kwargs)

    def check(self) -> None:
        super().check()
        self.refuse(["input_dropout"], "subnet_dropout acts on the inputs")
        if len(self.modality_dims) not in (2, 3):
            raise ConfigError("modality_dims", "two or three modalities", self.modality_dims)
        for name in self.modalities:
            if name not in self.subnet_sizes:
                raise ConfigError(f"subnet_sizes[{name!r}]", "a width", "nothing")
        for name, size in self.subnet_sizes.items():
            if name not in self.modality_dims:
                raise ConfigError("subnet_sizes", f"some of {self.modalities}", repr(name))
            self.require_at_least(f"subnet_sizes[{name!r}]", size, 1)
        self.require_at_least("text_output_size", self.text_output_size, 1)
        self.require_probability("subnet_dropout", self.subnet_dropout)
        if self.output_range is not None:
            if self.problem_type != "regression":
                raise ConfigError("output_range", "None for a classification", self.output_range)
            if len(self.output_range) != 2 or not -math.inf < self.output_range[0] < self.output_range[1] < math.inf:
                raise ConfigError("output_range", "[low, high], finite, with low < high", self.output_range)

    @property
    def fused_sizes(self) -> list[int]:
        """Width of what each modality brings to the outer product, without its 1, in `modalities` order."""
        sequence = self.text_input == "sequence"
        return [
            self.text_output_size if name == "text" and sequence else self.subnet_sizes[name]
            for name in self.modalities
        ]
