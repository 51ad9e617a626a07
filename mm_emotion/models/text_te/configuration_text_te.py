"""Configuration of the text transformer."""

from mm_emotion.errors import ConfigError
from mm_emotion.models.configuration_emotion import EmotionConfig


class TextTEConfig(EmotionConfig):
    """Word indices and positions -> one transformer block -> mean over the steps -> `hidden_size` scores -> labels.

    With `mask_padding` utterances of up to `max_length` words are read as they are; without it exactly `max_length`
    steps are, and padding is attended to and averaged like words, as in the published network. `dropout` acts before
    and behind the scores, `block_dropout` within the block. Without `dense_layer` the hidden state is the mean itself,
    for a joint model that has a dense layer of its own.
    """

    model_type = "text_te"

    vocab_size: int = 3214
    embedding_size: int = 300
    max_length: int = 103
    num_heads: int = 2
    key_size: int = 150
    feedforward_size: int = 32
    block_dropout: float = 0.1
    norm_epsilon: float = 1e-6
    mask_padding: bool = True
    dense_layer: bool = True
    dropout: float = 0.1

    def check(self) -> None:
        super().check()
        if self.modality_dims:
            raise ConfigError("modality_dims", "an empty map: this model reads input_ids", self.modality_dims)
        if self.input_dropout:
            raise ConfigError("input_dropout", "0: this model reads word indices", self.input_dropout)
        for field in ("vocab_size", "embedding_size", "max_length", "num_heads", "key_size", "feedforward_size"):
            self.require_at_least(field, getattr(self, field), 1)
        self.require_probability("block_dropout", self.block_dropout)
        if not 0 < self.norm_epsilon < 1:
            raise ConfigError("norm_epsilon", "a number between 0 and 1", self.norm_epsilon)

    @property
    def representation_size(self) -> int:
        return self.hidden_size if self.dense_layer else self.embedding_size
