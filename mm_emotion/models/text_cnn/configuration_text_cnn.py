"""Configuration of the text CNN."""

from typing import Any, Literal

from mm_emotion.errors import ConfigError
from mm_emotion.models.configuration_emotion import EmotionConfig


class TextCNNConfig(EmotionConfig):
    """Word indices -> embedding -> parallel convolutions -> pooling -> `hidden_size` scores -> labels.

    `pooling` takes the maximum over all steps (`global`, ragged lengths), or over windows of `pool_size`, in the
    branches joined in time (`after_concat`) or in each (`per_branch`); the last two read exactly `max_length` steps.
    `word_dropout` drops whole words in training. With `freeze_embedding` the word vectors stay as they were given.
    """

    model_type = "text_cnn"

    vocab_size: int = 3214
    embedding_size: int = 300
    num_filters: int = 50
    filter_widths: list[int] | None = None
    conv_padding: Literal["valid", "same"] = "valid"
    pooling: Literal["global", "after_concat", "per_branch"] = "global"
    pool_size: int = 2
    max_length: int = 103
    word_dropout: float = 0.0
    freeze_embedding: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if self.filter_widths is None:
            self.filter_widths = [3, 4, 5]
        super().__post_init__(**kwargs)

    def check(self) -> None:
        super().check()
        if self.modality_dims:
            raise ConfigError("modality_dims", "an empty map: this model reads input_ids", self.modality_dims)
        for field in ("vocab_size", "embedding_size", "num_filters", "pool_size", "max_length"):
            self.require_at_least(field, getattr(self, field), 1)
        if not self.filter_widths or min(self.filter_widths) < 1:
            raise ConfigError("filter_widths", "a list of widths of at least 1", self.filter_widths)
        self.require_probability("word_dropout", self.word_dropout)
        if self.pooling != "global" and self.pooled_size < 1:
            raise ConfigError("max_length", "enough steps for the convolutions and the pooling", self.max_length)

    @property
    def pooled_size(self) -> int:
        """Number of values that the dense layer reads."""
        if self.pooling == "global":
            return self.num_filters * len(self.filter_widths)
        shrinks = self.conv_padding == "valid"
        steps = [max(self.max_length - (width - 1 if shrinks else 0), 0) for width in self.filter_widths]
        pooled = (
            sum(steps) // self.pool_size if self.pooling == "after_concat" else sum(n // self.pool_size for n in steps)
        )
        return self.num_filters * pooled
