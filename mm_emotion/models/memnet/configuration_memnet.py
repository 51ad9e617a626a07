"""Configuration of the memory network."""

from mm_emotion.models.configuration_memory import MemoryConfig


class MemnetConfig(MemoryConfig):
    """Each utterance asks `hops` times what the `window` utterances before it hold; blind to who speaks."""

    model_type = "memnet"
