"""Configuration of the hierarchical contextual LSTM."""

from mm_emotion.models.configuration_emotion import EmotionConfig


class CLSTMConfig(EmotionConfig):
    """A bidirectional LSTM for each modality, then one over what they found.

    `recurrent_size` units each way at both levels, `unimodal_size` contextual features of each modality, `hidden_size`
    units before the classifier. `recurrent_dropout` acts on what the levels read, `dropout` around the dense layers.
    With `pack` off the backward passes read the padding first, so that results depend on it.
    """

    model_type = "clstm"

    recurrent_size: int = 300
    unimodal_size: int = 100
    hidden_size: int = 500
    recurrent_dropout: float = 0.4
    dropout: float = 0.5
    pack: bool = True

    def check(self) -> None:
        super().check()
        self.require_at_least("recurrent_size", self.recurrent_size, 1)
        self.require_at_least("unimodal_size", self.unimodal_size, 1)
        self.require_probability("recurrent_dropout", self.recurrent_dropout)
        self.require_modality()

    @property
    def is_causal(self) -> bool:
        return False
