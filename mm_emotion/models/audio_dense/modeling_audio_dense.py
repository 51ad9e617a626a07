"""Dense network on the acoustic functionals of one utterance.

scores = relu(norm(dense(x))), the utterance features that a dialogue model reads
logits = classifier(dropout(scores))
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.layers.normalization import MaskedBatchNorm
from mm_emotion.models.audio_dense.configuration_audio_dense import AudioDenseConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel


class AudioDenseForEmotionRecognition(EmotionPreTrainedModel):
    """Utterance vectors (B, U, D) of one modality, `audio` in the published network."""

    config_class = AudioDenseConfig

    def __init__(self, config: AudioDenseConfig):
        super().__init__(config)
        self.dense = nn.Linear(config.input_size, config.hidden_size)
        self.norm = None
        if config.norm == "layer":
            self.norm = nn.LayerNorm(config.hidden_size, eps=config.norm_epsilon)
        elif config.norm == "batch":
            self.norm = MaskedBatchNorm(config.hidden_size, epsilon=config.norm_epsilon)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        config = self.config
        (modality,) = config.modalities
        x = F.dropout(getattr(batch, modality), config.input_dropout, self.training)  # (B, U, D)
        hidden_states = self.dense(x)  # (B, U, H)
        if config.norm_position == "before_activation":
            return F.relu(self._normalise(hidden_states, batch.utterance_mask)), ()
        return self._normalise(F.relu(hidden_states), batch.utterance_mask), ()

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))

    def _normalise(self, x: Tensor, mask: Tensor) -> Tensor:
        if self.norm is None:
            return x
        return self.norm(x, mask) if self.config.norm == "batch" else self.norm(x)
