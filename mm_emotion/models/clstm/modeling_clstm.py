"""cLSTM, the hierarchical bc-LSTM: context within each modality first, then across them (Poria et al., ACL 2017).

h^m_1 .. h^m_U = BiLSTM_m(u^m_1 .. u^m_U), features^m_t = tanh(dense_m(h^m_t))     for each modality m
h_1 .. h_U = BiLSTM([features^text_t; features^audio_t; ..])
hidden_t = relu(dense(h_t)), logits_t = classifier(dropout(hidden_t))

Here both levels are trained end to end. The paper trains a classifier on each modality's features first and freezes
them; that is a recipe with a `clstm` of one modality as the stage-one system of each.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.layers.fusion import concatenate
from mm_emotion.layers.packing import run_packed
from mm_emotion.models.clstm.configuration_clstm import CLSTMConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel


class CLSTMForEmotionRecognition(EmotionPreTrainedModel):
    """Utterance vectors (B, U, D) of each modality; no attentions."""

    config_class = CLSTMConfig

    def __init__(self, config: CLSTMConfig):
        super().__init__(config)
        size = config.recurrent_size
        self.unimodal_lstms = nn.ModuleDict(
            {name: _lstm(config.modality_dims[name], size) for name in config.modalities}
        )
        self.unimodal_dense = nn.ModuleDict(
            {name: nn.Linear(2 * size, config.unimodal_size) for name in config.modalities}
        )
        self.lstm = _lstm(len(config.modalities) * config.unimodal_size, size)
        self.dense = nn.Linear(2 * size, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        features = {
            name: torch.tanh(self.unimodal_dense[name](self._contextual(lstm, getattr(batch, name), batch)))
            for name, lstm in self.unimodal_lstms.items()
        }  # (B, U, F) each
        x = F.dropout(concatenate(features), self.config.dropout, self.training)
        return F.relu(self.dense(self._contextual(self.lstm, x, batch))), ()

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))

    def _contextual(self, lstm: nn.LSTM, x: Tensor, batch: EmotionBatch) -> Tensor:
        x = F.dropout(x, self.config.recurrent_dropout, self.training)
        states = run_packed(lstm, x, batch.lengths) if self.config.pack else lstm(x)[0]
        return F.dropout(states, self.config.dropout, self.training)  # (B, U, 2R)


def _lstm(input_size: int, size: int) -> nn.LSTM:
    return nn.LSTM(input_size, size, batch_first=True, bidirectional=True)
