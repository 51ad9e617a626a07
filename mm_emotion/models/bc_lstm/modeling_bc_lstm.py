"""bc-LSTM: bidirectional contextual LSTM over utterance features, blind to who speaks (Poria et al., 2017).

h_1 .. h_U = two-layer BiLSTM(u_1 .. u_U)
h_t <- sum_i softmax_i(tanh((W h_t + b).h_i)) h_i     only with attention; it sees the whole dialogue
hidden_t = relu(dense(h_t)), logits_t = classifier(dropout(hidden_t))
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.layers.attention import MatchingAttention
from mm_emotion.layers.packing import run_packed
from mm_emotion.models.bc_lstm.configuration_bc_lstm import BCLSTMConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel


def speaker_turns(batch: EmotionBatch) -> Tensor:
    """Whether the utterance before and the one after have the same speaker, (B, U, 2) bool; False at the ends."""
    real, speakers = batch.utterance_mask, batch.speakers
    same = (speakers[:, 1:] == speakers[:, :-1]) & real[:, 1:]  # (B, U-1)
    return torch.stack([F.pad(same, (1, 0)), F.pad(same, (0, 1))], dim=-1)


class BCLSTMForEmotionRecognition(EmotionPreTrainedModel):
    """Utterance vectors (B, U, D) of one or more modalities, side by side; attentions: (B, U, U) if there are any."""

    config_class = BCLSTMConfig

    def __init__(self, config: BCLSTMConfig):
        super().__init__(config)
        self.needs_speakers = config.speaker_turns
        input_size, state_size = (
            config.input_size + 2 * config.speaker_turns,
            config.recurrent_size * (1 + config.bidirectional),
        )
        self.lstm = nn.LSTM(
            input_size,
            config.recurrent_size,
            2,
            batch_first=True,
            bidirectional=config.bidirectional,
            dropout=config.dropout,
        )
        self.matching_attention = None
        if config.use_attention:
            self.matching_attention = MatchingAttention(state_size, state_size, score_tanh=True)
        self.dense = nn.Linear(state_size, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        x = self._inputs(batch)
        states = run_packed(self.lstm, x, batch.lengths) if self.config.pack else self.lstm(x)[0]  # (B, U, [2]R)
        attentions = ()
        if self.matching_attention is not None:
            states, weights = self.matching_attention(states, states, batch.utterance_mask)
            attentions = (weights,)
        return F.relu(self.dense(states)), attentions

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        before = None if past is None else tuple(past[name].transpose(0, 1).contiguous() for name in ("state", "cell"))
        states, after = self.lstm(self._inputs(batch), before)  # (B, U, R)
        remembered = {name: part.transpose(0, 1) for name, part in zip(("state", "cell"), after, strict=True)}
        return F.relu(self.dense(states)), (), remembered

    def _inputs(self, batch: EmotionBatch) -> Tensor:
        x = self.side_by_side(batch)  # (B, U, D)
        if self.config.speaker_turns:
            x = torch.cat([x, speaker_turns(batch).to(x.dtype)], dim=-1)  # (B, U, D+2)
        return x

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))
