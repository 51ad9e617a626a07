"""CMN: conversational memory network, one memory of each side of the dialogue (Hazarika et al., NAACL 2018).

q = tanh(W u_t + b)
own_i, other_i = tanh(dropout(local GRUs over what the speaker, what all others said before t))
keys, values = memory GRU of that side over them; values 0 where the side did not speak, keys from the second hop too
w = sum_i softmax_i(tanh(q.key_i)) value_i for each side, over all places where somebody spoke
q <- tanh(q + w_own + w_other)     once a hop
logits_t = classifier(q)

The memory GRU would read the same states again at each hop: it runs once. The paper has two parties; with more, all
others share one history.
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
from mm_emotion.models.cmn.configuration_cmn import CMNConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel


class CMNForEmotionRecognition(EmotionPreTrainedModel):
    """Utterance vectors (B, U, D) of one or more modalities, side by side, and who speaks (B, U, P), for any P.

    attentions: for each hop the weights (B, U, U) of the own and of the others' memory, both over all utterances.
    """

    config_class = CMNConfig
    needs_speakers = True

    def __init__(self, config: CMNConfig):
        super().__init__(config)
        width, size = config.input_size, config.hidden_size
        self.query = nn.Linear(width, size)
        self.histories = Histories(width, size, config.window)
        self.memories = nn.ModuleList([WindowGRU(size, size), WindowGRU(size, size)])
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
        *sides, own, other = self.histories(heard, real)
        keys, values = [], []
        for states, spoke, memory in zip(sides, (own, other), self.memories, strict=True):
            local = [torch.tanh(F.dropout(state, dropout)) for state in states]  # K times (N, H)
            keys.append(torch.stack(memory([memory.read(state) for state in local]), 1))  # (N, K, H)
            values.append(keys[-1].masked_fill(~spoke[..., None], 0))
        query, attentions = torch.tanh(self.query(x[real])), []
        for _ in range(config.hops):
            reads = [read_memory(query, *pair, own | other, dropout) for pair in zip(keys, values, strict=True)]
            query = torch.tanh(query + reads[0][0] + reads[1][0])
            attentions += [over_dialogue(over_batch(weights, real)) for _, weights in reads]
            keys = values
        return over_batch(query, real), tuple(attentions), heard.remembered(config.window)
