"""Configuration of DialogueRNN."""

from typing import Literal

from mm_emotion.errors import ConfigError
from mm_emotion.models.configuration_emotion import EmotionConfig


class DialogueRNNConfig(EmotionConfig):
    """Sizes of the global, party and emotion states, and the switches that make the five published systems:

    DialogueRNN has none on, DialogueRNN_l `listener_state`, DialogueRNN+Att `use_attention`, BiDialogueRNN
    `bidirectional`, BiDialogueRNN+Att the last two. The regression variant has `context_attention: simple` and
    `activation: tanh`. `recurrent_dropout` acts inside the recurrence, `emotion_dropout` on its emotion states and
    `dropout` before the classifier.
    """

    model_type = "dialogue_rnn"

    global_size: int = 500
    party_size: int = 500
    emotion_size: int = 300
    hidden_size: int = 300
    context_attention: Literal["simple", "dot", "general", "general2", "concat"] = "general"
    attention_size: int = 100
    bidirectional: bool = False
    listener_state: bool = False
    use_attention: bool = False
    activation: Literal["relu", "tanh"] = "relu"
    recurrent_dropout: float = 0.1
    emotion_dropout: float = 0.25
    dropout: float = 0.1

    def check(self) -> None:
        super().check()
        for field in ("global_size", "party_size", "emotion_size", "attention_size"):
            self.require_at_least(field, getattr(self, field), 1)
        for field in ("recurrent_dropout", "emotion_dropout"):
            self.require_probability(field, getattr(self, field))
        self.require_modality()
        if self.context_attention == "dot" and self.input_size != self.global_size:
            raise ConfigError("global_size", f"{self.input_size}, the input width, for dot attention", self.global_size)

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    @property
    def representation_size(self) -> int:
        return self.hidden_size * self.directions

    @property
    def is_causal(self) -> bool:
        return not self.bidirectional and not self.use_attention
