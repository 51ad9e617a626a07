"""Configuration of the Memory Fusion Network."""

from typing import Any

from mm_emotion.errors import ConfigError
from mm_emotion.models.configuration_emotion import EmotionConfig

_PUBLISHED = {"text": 88, "audio": 48, "visual": 16}


class MFNConfig(EmotionConfig):
    """An LSTM per modality over aligned steps, attention over two steps of all, a gated memory -> labels.

    `recurrent_sizes` maps each modality to the width of its LSTM. Each of the four networks of one hidden layer has a
    width and a dropout: attention, what is proposed to the memory, and the gates that retain and update it. `dropout`
    acts in front of the classifier. With `window` the steps are vectors of utterances: as many as were said before in
    the dialogue, at most `window`, and the utterance's own. The sizes are those of the best published regression on
    CMU-MOSI.
    """

    model_type = "mfn"

    hidden_size: int = 64
    window: int | None = None
    recurrent_sizes: dict[str, int] | None = None
    memory_size: int = 128
    attention_size: int = 128
    attention_dropout: float = 0.0
    proposal_size: int = 64
    proposal_dropout: float = 0.0
    retain_size: int = 256
    retain_dropout: float = 0.0
    update_size: int = 64
    update_dropout: float = 0.0

    def __post_init__(self, **kwargs: Any) -> None:
        given = {} if self.recurrent_sizes is None else self.recurrent_sizes
        defaults = {name: _PUBLISHED[name] for name in self.modality_dims or {} if name in _PUBLISHED}
        self.recurrent_sizes = defaults | given
        super().__post_init__(**kwargs)

    def check(self) -> None:
        super().check()
        self.refuse(["input_dropout"], "no dropout acts on the steps")
        self.require_modality()
        for name in self.modalities:
            if name not in self.recurrent_sizes:
                raise ConfigError(f"recurrent_sizes[{name!r}]", "a width", "nothing")
        for name, size in self.recurrent_sizes.items():
            if name not in self.modality_dims:
                raise ConfigError("recurrent_sizes", f"some of {self.modalities}", repr(name))
            self.require_at_least(f"recurrent_sizes[{name!r}]", size, 1)
        self.require_at_least("memory_size", self.memory_size, 1)
        if self.window is not None:
            self.require_at_least("window", self.window, 1)
        for network in ("attention", "proposal", "retain", "update"):
            self.require_at_least(f"{network}_size", getattr(self, f"{network}_size"), 1)
            self.require_probability(f"{network}_dropout", getattr(self, f"{network}_dropout"))

    @property
    def state_size(self) -> int:
        """Width of the states of all LSTMs side by side."""
        return sum(self.recurrent_sizes.values())
