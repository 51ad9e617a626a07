"""Configuration of the memory network."""

from mm_emotion.models.configuration_emotion import EmotionConfig


class MemnetConfig(EmotionConfig):
    """Each utterance asks `hops` times what the `window` utterances before it hold; blind to who speaks."""

    model_type = "memnet"

    window: int = 40
    hops: int = 3

    def check(self) -> None:
        super().check()
        self.require_at_least("window", self.window, 1)
        self.require_at_least("hops", self.hops, 1)
        self.require_modality()
