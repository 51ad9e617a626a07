"""Configuration of the interactive conversational memory network."""

from mm_emotion.models.configuration_memory import MemoryConfig


class ICONConfig(MemoryConfig):
    """The last `window` utterances as one memory of `hidden_size` wide states of both sides, read `hops` times.

    `dropout` acts on the states of the local GRUs and on the weights of the memory.
    """

    model_type = "icon"

    dropout: float = 0.7
