"""Configuration of the conversational memory network."""

from mm_emotion.models.configuration_emotion import EmotionConfig


class CMNConfig(EmotionConfig):
    """Own and others' last `window` utterances as two memories of `hidden_size` wide states, read `hops` times.

    `dropout` acts on the states of the local GRUs and on the weights of the memories.
    """

    model_type = "cmn"

    window: int = 40
    hops: int = 3
    dropout: float = 0.7

    def check(self) -> None:
        super().check()
        self.require_at_least("window", self.window, 1)
        self.require_at_least("hops", self.hops, 1)
        self.require_modality()
