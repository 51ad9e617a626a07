"""DialogueRNN as it was released, step by step, on the parameters of our own modules: what every speed-up refers to.

Parties are picked dialogue by dialogue, the history grows by concatenation, every party's GRU runs on every utterance
and so on padding, and the attention over the whole dialogue is computed for one utterance at a time.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mm_emotion.models.dialogue_rnn.modeling_dialogue_rnn import DialogueRNNCell, DialogueRNNForEmotionRecognition


def direction(cell: DialogueRNNCell, utterances: Tensor, spoken: Tensor, dropout: float = 0.0) -> Tensor:
    """Emotion states (B, U, E) of utterances (B, U, D) and a one-hot speaker mask (B, U, Q)."""
    batch, steps, parties = spoken.shape
    g_size, p_size = cell.global_gru.hidden_size, cell.party_gru.hidden_size
    party = utterances.new_zeros(batch, parties, p_size)
    emotion = utterances.new_zeros(batch, cell.emotion_gru.hidden_size)
    history = utterances.new_zeros(0, batch, g_size)
    emotions = []
    for t in range(steps):
        u, speaks = utterances[:, t], spoken[:, t]  # (B, D), (B, Q)
        speaker = speaks.argmax(1)
        last = history[-1] if t else utterances.new_zeros(batch, g_size)
        new = F.dropout(cell.global_gru(torch.cat([u, pick(party, speaker)], 1), last), dropout, dropout > 0)
        if t:
            scores = torch.bmm(cell.context_attention.transform(u)[:, None], history.permute(1, 2, 0)).softmax(-1)
            context = torch.bmm(scores, history.transpose(0, 1))[:, 0]  # (B, G)
        else:
            context = torch.zeros_like(new)
        heard = torch.cat([u, context], 1)[:, None].expand(-1, parties, -1)  # (B, Q, D+G)
        moved = cell.party_gru(heard.flatten(0, 1), party.flatten(0, 1)).view_as(party)
        moved = F.dropout(moved, dropout, dropout > 0)
        party = party * (1 - speaks)[..., None] + moved * speaks[..., None]
        emotion = F.dropout(cell.emotion_gru(pick(party, speaker), emotion), dropout, dropout > 0)
        history = torch.cat([history, new[None]])
        emotions.append(emotion)
    return torch.stack(emotions, 1)


def pick(party: Tensor, speaker: Tensor) -> Tensor:
    """The state (B, P) of the party that speaks in each dialogue, of (B, Q, P)."""
    return torch.cat([states[index.item()][None] for states, index in zip(party, speaker, strict=True)])


def reverse(rows: Tensor, lengths: Tensor) -> Tensor:
    """(B, U, D) with each dialogue's own utterances in reverse, padded with zeros."""
    turned = [
        F.pad(row[:length].flip(0), (0, 0, 0, len(row) - length)) for row, length in zip(rows, lengths, strict=True)
    ]
    return torch.stack(turned)


def logits(model: DialogueRNNForEmotionRecognition, text: Tensor, spoken: Tensor, real: Tensor) -> Tensor:
    """Logits (B, U, K) of BiDialogueRNN+Att; dropout as in `model`, and only where it trains.

    text: (B, U, D). spoken: (B, U, Q) one-hot, real: (B, U) utterance mask, both in the dtype of `text`.
    """
    config, lengths = model.config, real.sum(1).long()
    dropout = config.recurrent_dropout if model.training else 0.0
    backward = direction(model.backward_cell, reverse(text, lengths), reverse(spoken, lengths), dropout)
    emotions = torch.cat([direction(model.forward_cell, text, spoken, dropout), reverse(backward, lengths)], 2)
    emotions = F.dropout(emotions, config.emotion_dropout, model.training)
    attended = []
    for t in range(emotions.shape[1]):
        query = model.matching_attention.transform(emotions[:, t])[:, None]  # (B, 1, R*E)
        share = torch.bmm(query, emotions.transpose(1, 2)).softmax(-1) * real[:, None]  # (B, 1, U)
        attended.append(torch.bmm(share / share.sum(-1, keepdim=True), emotions)[:, 0])
    hidden = F.relu(model.dense(torch.stack(attended, 1)))
    return model.classifier(F.dropout(hidden, config.dropout, model.training))
