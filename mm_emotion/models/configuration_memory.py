"""What the configurations of the memory networks share."""

from mm_emotion.models.configuration_emotion import EmotionConfig


class MemoryConfig(EmotionConfig):
    """A memory of the last `window` utterances of a dialogue, read `hops` times."""

    window: int = 40
    hops: int = 3

    def check(self) -> None:
        super().check()
        self.require_at_least("window", self.window, 1)
        self.require_at_least("hops", self.hops, 1)
        self.require_modality()
