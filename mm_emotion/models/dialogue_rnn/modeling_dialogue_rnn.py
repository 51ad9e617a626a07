"""DialogueRNN: a recurrence that follows the dialogue, each party in it and the emotion (Majumder et al., 2019).

    e_1 .. e_U = the emotion states of the recurrence of `ops.dialogue_rnn_scan`; bidirectional: of both directions
    e_t <- sum_i softmax_i((W e_t + b).e_i) e_i     only with attention; it sees the whole dialogue
    hidden_t = activation(dense(dropout(e_t))), logits_t = classifier(dropout(hidden_t))

The released unidirectional model fails as written (it forgets that its recurrence returns a pair); here all five
published variants run, from one switch each.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.layers.attention import MatchingAttention
from mm_emotion.models.dialogue_rnn.configuration_dialogue_rnn import DialogueRNNConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.ops.dialogue_rnn_scan import ScanOutput, ScanState, dialogue_rnn_scan


class DialogueRNNCell(nn.Module):
    """The weights of one direction: what each GRU reads is [utterance; state] in the layout of torch.nn.GRUCell."""

    def __init__(self, config: DialogueRNNConfig):
        super().__init__()
        width, g_size, p_size = config.input_size, config.global_size, config.party_size
        self.width = width
        self.global_gru = nn.GRUCell(width + p_size, g_size)
        self.party_gru = nn.GRUCell(width + g_size, p_size)
        self.listener_gru = nn.GRUCell(width + p_size, p_size) if config.listener_state else None
        self.emotion_gru = nn.GRUCell(p_size, config.emotion_size)
        self.context_attention = MatchingAttention(g_size, width, config.context_attention, config.attention_size)

    def reader(self) -> tuple[Tensor, Tensor]:
        """What the GRUs that read the utterance make of it, weight (3G+3P[+3P], D) and bias."""
        readers = [gru for gru in (self.global_gru, self.party_gru, self.listener_gru) if gru is not None]
        return torch.cat([gru.weight_ih[:, : self.width] for gru in readers]), torch.cat(
            [gru.bias_ih for gru in readers]
        )

    def queries(self, x: Tensor) -> Tensor:
        """(B, U, D) -> (B, U, G), or (B, U, A) for concat attention."""
        attention = self.context_attention
        if attention.kind == "concat":
            return F.linear(x, attention.transform.weight[:, -self.width :])
        return attention.queries(x)

    def weights(self) -> list[Tensor]:
        """In the order of `dialogue_rnn_scan`."""
        g, p, e, listener = self.global_gru, self.party_gru, self.emotion_gru, self.listener_gru
        weights = [g.weight_ih[:, self.width :], g.weight_hh, g.bias_hh]
        weights += [p.weight_ih[:, self.width :], p.weight_hh, p.bias_hh]
        weights += [e.weight_ih, e.bias_ih, e.weight_hh, e.bias_hh]
        if listener is not None:
            weights += [listener.weight_ih[:, self.width :], listener.weight_hh, listener.bias_hh]
        return weights

    def concat_weights(self) -> list[Tensor]:
        attention = self.context_attention
        return [attention.transform.weight[:, : -self.width], attention.vector.weight[0]]


def _with_newcomers(states: Tensor, counts: Tensor, parties: int) -> Tensor:
    """Party states (B, P, Q) as (B, parties, Q): behind the first `counts` (B,) all are what stands there."""
    listener = states.gather(1, counts[:, None, None].expand(-1, 1, states.shape[2]))  # (B, 1, Q)
    wider = F.pad(states, (0, 0, 0, parties - states.shape[1]))
    known = torch.arange(parties, device=counts.device) < counts[:, None]  # (B, parties)
    return torch.where(known[..., None], wider, listener)


class DialogueRNNForEmotionRecognition(EmotionPreTrainedModel):
    """Utterance vectors (B, U, D) of one or more modalities, side by side, and who speaks (B, U, P), for any P.

    attentions: context attention (R, B, U, U) of R directions and, with `use_attention`, matching attention (B, U, U).
    """

    config_class = DialogueRNNConfig
    needs_speakers = True

    def __init__(self, config: DialogueRNNConfig):
        super().__init__(config)
        state_size = config.emotion_size * config.directions
        self.forward_cell = DialogueRNNCell(config)
        self.backward_cell = DialogueRNNCell(config) if config.bidirectional else None
        self.matching_attention = MatchingAttention(state_size, state_size) if config.use_attention else None
        self.dense = nn.Linear(state_size, config.representation_size)
        self.classifier = nn.Linear(config.representation_size, config.num_labels)
        self.post_init()

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        scan = self._scan(batch, batch.speaker_mask.shape[-1], None)
        states = F.dropout(scan.emotion_states, self.config.emotion_dropout, self.training)  # (B, U, R*E)
        attentions = (scan.attentions,)
        if self.matching_attention is not None:
            states, weights = self.matching_attention(states, states, batch.utterance_mask)
            attentions += (weights,)
        return self._hidden(states), attentions

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        # One party more than there are stands for all who come in later: they have listened to all there was.
        parties, state = batch.speaker_mask.shape[-1] + 1, None
        if past is not None:
            parties = max(parties, past["party_states"].shape[1])
            starts = _with_newcomers(past["party_states"], past["parties"], parties)
            state = ScanState(past["history"], past["history_lengths"], starts[None], past["emotion_state"][None])
        scan = self._scan(batch, parties, state)
        party_states = scan.party_states[0]  # (B, P+1, Q)
        known = batch.lengths.new_zeros(len(party_states)) if past is None else past["history_lengths"]
        new = scan.global_states[0]  # (B, U, G)
        length = new.shape[1]
        history = new.new_zeros(len(new), 0, new.shape[2]) if past is None else past["history"]
        # Not beyond the longest dialogue here: others that have left may have been longer.
        longest = int(known.max()) if len(known) else 0
        history = F.pad(history[:, :longest], (0, 0, 0, length))  # (B, V+U, G)
        at = known[:, None] + torch.arange(length, device=known.device)  # (B, U)
        history = history.scatter(1, at[..., None].expand_as(new), new)
        remembered = {
            "history": history,
            "history_lengths": known + length,
            "party_states": party_states,
            "parties": torch.full_like(known, parties - 1),
            "emotion_state": scan.emotion_states[:, -1],
        }
        states = F.dropout(scan.emotion_states, self.config.emotion_dropout, self.training)
        return self._hidden(states), (scan.attentions,), remembered

    def _hidden(self, states: Tensor) -> Tensor:
        return (F.relu if self.config.activation == "relu" else torch.tanh)(self.dense(states))

    def _scan(self, batch: EmotionBatch, parties: int, state: ScanState | None) -> ScanOutput:
        config = self.config
        x = self.side_by_side(batch)  # (B, U, D)
        cells = [self.forward_cell] if self.backward_cell is None else [self.forward_cell, self.backward_cell]
        weight, bias = (torch.cat(parts) for parts in zip(*(cell.reader() for cell in cells), strict=True))
        concat = config.context_attention == "concat"
        return dialogue_rnn_scan(
            F.linear(x, weight, bias).unflatten(-1, (len(cells), -1)).movedim(2, 0),  # (R, B, U, 3G+3P[+3P])
            torch.stack([cell.queries(x) for cell in cells]),
            batch.speakers,
            batch.lengths,
            [weight for cell in cells for weight in cell.weights()],
            num_parties=parties,
            keep_mask=self._keep_mask(batch, parties),
            keep=1 - config.recurrent_dropout if self.training else 1.0,
            state=state,
            concat=[weight for cell in cells for weight in cell.concat_weights()] if concat else None,
        )

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))

    def _keep_mask(self, batch: EmotionBatch, parties: int) -> Tensor | None:
        """Which values of each new state recurrent dropout keeps, (R, B, U, G+P+E[+Q*P])."""
        config = self.config
        if not self.training or config.recurrent_dropout == 0:
            return None
        listeners = parties if config.listener_state else 0
        width = config.global_size + config.party_size * (1 + listeners) + config.emotion_size
        shape = (config.directions, *batch.utterance_mask.shape, width)
        keep = torch.empty(shape, dtype=torch.bool, device=batch.utterance_mask.device)
        return keep.bernoulli_(1 - config.recurrent_dropout)
