"""ICON: interactive conversational memory network, one memory of the whole dialogue (Hazarika et al., EMNLP 2018).

q = tanh(W u_t + b)
own_i, other_i = dropout(local GRUs over what the speaker, what all others said before t)
memory_i = global GRU over tanh(own_i + other_i), 0 where nobody spoke
q <- tanh(q + sum_i softmax_i(tanh(q.memory_i)) memory_i); memory <- memory GRU over it     once a hop
logits_t = classifier(q)

The paper has two parties; with more, all others share one history.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.layers.memory import (
    Histories,
    MemoryClassifier,
    Past,
    WindowGRU,
    over_batch,
    over_dialogue,
    read_memory,
)
from mm_emotion.models.icon.configuration_icon import ICONConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel


class ICONForEmotionRecognition(EmotionPreTrainedModel):
    """Utterance vectors (B, U, D) of one or more modalities, side by side, and who speaks (B, U, P), for any P.

    attentions: the weights (B, U, U) of the memory for each hop.
    """

    config_class = ICONConfig
    needs_speakers = True

    def __init__(self, config: ICONConfig):
        super().__init__(config)
        width, size = config.input_size, config.hidden_size
        self.query = nn.Linear(width, size)
        self.histories = Histories(width, size, config.window)
        self.global_gru = WindowGRU(size, size)
        self.memory_gru = WindowGRU(size, size) if config.hops > 1 else None
        self.classifier = MemoryClassifier(size, config.num_labels)
        self.post_init()

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.encode_on(batch, None)[:2]

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        config, dropout = self.config, self.config.dropout if self.training else 0.0
        x, real = self.side_by_side(batch), batch.utterance_mask  # (B, U, D), (B, U); N utterances are real
        heard = Past.before(x, batch.speakers, real, config.window, past)
        own, other, own_spoke, other_spoke = self.histories(heard, real)
        spoken = own_spoke | other_spoke  # (N, K)
        states = [
            torch.tanh(F.dropout(mine, dropout) + F.dropout(theirs, dropout))
            for mine, theirs in zip(own, other, strict=True)
        ]  # K times (N, H)
        query, attentions = torch.tanh(self.query(x[real])), []
        for hop in range(config.hops):
            gru = self.memory_gru if hop else self.global_gru
            memory = torch.stack(gru([gru.read(state) for state in states]), 1)  # (N, K, H)
            memory = memory.masked_fill(~spoken[..., None], 0)
            found, weights = read_memory(query, memory, memory, spoken, dropout)
            query = torch.tanh(query + found)
            attentions.append(over_dialogue(over_batch(weights, real)))
            states = memory.unbind(1)
        return over_batch(query, real), tuple(attentions), heard.remembered(config.window)
