"""Joint optimisation: a network for each modality and one head, trained end to end with one loss.

h_m = hidden state of the utterance in child m; its classifier is gone, and h_m = 0 where its modality is missing
scores = relu(dense([h_1; h_2; ..])), the utterance features that a dialogue model reads
logits = classifier(dropout(scores))

Tripathi et al. (2018) put a relu behind the concatenation of linear branches: the same as branches that end in a relu.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from mm_emotion.models.children import common_shapes, encode_on_each, has_input
from mm_emotion.models.joint.configuration_joint import JointConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel


class JointForEmotionRecognition(EmotionPreTrainedModel):
    """Takes what its children take."""

    config_class = JointConfig

    def __init__(self, config: JointConfig):
        super().__init__(config)
        self.branches = nn.ModuleList(AutoModel.from_config(AutoConfig.for_model(**child)) for child in config.children)
        for branch in self.branches:
            branch.classifier = None
        self.needs_speakers = any(branch.needs_speakers for branch in self.branches)
        width = sum(branch.config.representation_size for branch in self.branches)
        self.dense = nn.Linear(width, config.hidden_size) if config.fusion_layer else None
        self.norm = nn.LayerNorm(config.hidden_size, eps=1e-3) if config.joint_norm else None
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return common_shapes(self.branches)

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self._joined([branch.encode(batch) for branch in self.branches], batch)

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        encoded, remembered = encode_on_each(self.branches, batch, past)
        return *self._joined(encoded, batch), remembered

    def _joined(
        self, encoded: list[tuple[Tensor, tuple[Tensor, ...]]], batch: EmotionBatch
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        states, attentions = [], ()
        for branch, (state, weights) in zip(self.branches, encoded, strict=True):  # (B, U, H_m)
            states.append(state.masked_fill(~has_input(branch, batch)[..., None], 0))
            attentions += weights
        scores = torch.cat(states, -1)  # (B, U, sum of H_m)
        if self.dense is not None:
            scores = self.dense(scores)  # (B, U, H)
            scores = F.relu(scores if self.norm is None else self.norm(scores))
        return scores, attentions

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))
