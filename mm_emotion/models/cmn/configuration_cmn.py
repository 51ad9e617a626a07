"""Configuration of the conversational memory network."""

from mm_emotion.models.configuration_memory import MemoryConfig


class CMNConfig(MemoryConfig):
    """Own and others' last `window` utterances as two memories of `hidden_size` wide states, read `hops` times.

    `dropout` acts on the states of the local GRUs and on the weights of the memories.
    """

    model_type = "cmn"

    dropout: float = 0.7
