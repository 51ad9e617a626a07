"""Configuration of the interactive conversational memory network."""

from mm_emotion.models.configuration_emotion import EmotionConfig


class ICONConfig(EmotionConfig):
    """The last `window` utterances as one memory of `hidden_size` wide states of both sides, read `hops` times.

    `dropout` acts on the states of the local GRUs and on the weights of the memory.
    """

    model_type = "icon"

    window: int = 40
    hops: int = 3
    dropout: float = 0.7

    def check(self) -> None:
        super().check()
        self.require_at_least("window", self.window, 1)
        self.require_at_least("hops", self.hops, 1)
        self.require_modality()
