"""Configuration of the bc-LSTM."""

from mm_emotion.models.configuration_emotion import EmotionConfig


class BCLSTMConfig(EmotionConfig):
    """A two-layer bidirectional LSTM of `recurrent_size` units each way over the utterances of a dialogue.

    Without `bidirectional` it reads forward only and can be used live.
    `use_attention` adds matching attention over its states (bc-LSTM+Att). With `pack` off the backward pass reads the
    padding first, as the released code does, so that results depend on the padding. `speaker_turns`, which the papers
    do not have, tells it of each utterance whether the one before and the one after it have the same speaker.
    """

    model_type = "bc_lstm"

    recurrent_size: int = 100
    bidirectional: bool = True
    use_attention: bool = False
    pack: bool = True
    speaker_turns: bool = False
    dropout: float = 0.25

    def check(self) -> None:
        super().check()
        self.require_at_least("recurrent_size", self.recurrent_size, 1)
        self.require_modality()

    @property
    def is_causal(self) -> bool:
        return not (self.bidirectional or self.use_attention or self.speaker_turns)
