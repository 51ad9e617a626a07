"""End-to-end memory network over the utterances before each one (Sukhbaatar et al., 2015, as a dialogue model).

q = tanh(W u_t), keys m_i = A u_i, values c_i = C u_i of the utterances i before t
q <- q + sum_i softmax_i(q.m_i) c_i     once a hop, with the same A and C
logits_t = classifier(dropout(q))

Sizes, ties and the window are not printed where it serves as a dialogue model: they are those of CMN.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.layers.memory import Past, over_dialogue, read_memory, windows
from mm_emotion.models.memnet.configuration_memnet import MemnetConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel


class MemnetForEmotionRecognition(EmotionPreTrainedModel):
    """Utterance vectors (B, U, D) of one or more modalities, side by side; attentions: (B, U, U) for each hop."""

    config_class = MemnetConfig

    def __init__(self, config: MemnetConfig):
        super().__init__(config)
        width, size = config.input_size, config.hidden_size
        self.query = nn.Linear(width, size)
        self.keys, self.values = nn.Linear(width, size, bias=False), nn.Linear(width, size, bias=False)
        self.classifier = nn.Linear(size, config.num_labels)
        self.post_init()

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.encode_on(batch, None)[:2]

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        config = self.config
        x = self.side_by_side(batch)  # (B, U, D)
        nobody = torch.zeros_like(batch.utterance_mask, dtype=torch.int64)
        heard = Past.before(x, nobody, batch.utterance_mask, config.window, past)
        mask = windows(heard.mask, config.window)  # (B, U, K)
        keys, values = (windows(make(heard.x), config.window) for make in (self.keys, self.values))  # (B, U, K, H)
        query, attentions = torch.tanh(self.query(x)), []
        for _ in range(config.hops):
            found, weights = read_memory(query, keys, values, mask, score_tanh=False)
            query = query + found
            attentions.append(over_dialogue(weights))
        return query, tuple(attentions), heard.remembered(config.window)

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))
