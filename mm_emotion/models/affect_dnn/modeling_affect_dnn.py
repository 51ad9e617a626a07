"""Dense fusion for continuous affect, one value for each frame of a recording (Ortega et al., 2019).

v^m = dense layers of modality m, each relu(W x + b)
hidden = relu(W [v^text; v^audio; v^visual] + b), output = w.hidden + b

The frames of a recording are the utterances of a dialogue; the network sees one at a time.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.layers.fusion import concatenate
from mm_emotion.models.affect_dnn.configuration_affect_dnn import AffectDNNConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel


class AffectDNNForEmotionRecognition(EmotionPreTrainedModel):
    """Vectors (B, U, D) of each modality, one for each frame; no attentions."""

    config_class = AffectDNNConfig

    def __init__(self, config: AffectDNNConfig):
        super().__init__(config)
        if config.early_fusion:
            together = [sum(widths) for widths in zip(*config.layers.values(), strict=True)]
            self.shared = _dense(config.input_size, together)
        else:
            self.unimodal = nn.ModuleDict(
                {name: _dense(config.modality_dims[name], config.layers[name]) for name in config.modalities}
            )
        self.fusion = nn.Linear(sum(widths[-1] for widths in config.layers.values()), config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        config = self.config
        inputs = {name: getattr(batch, name) for name in config.modalities}  # (B, U, D) each
        if config.input_scaling == "log1p":
            inputs = {name: torch.log1p(value.clamp(min=0)) for name, value in inputs.items()}
        inputs = {name: F.dropout(value, config.input_dropout, self.training) for name, value in inputs.items()}
        if config.early_fusion:
            found = self.shared(concatenate(inputs))
        else:
            found = concatenate({name: layers(inputs[name]) for name, layers in self.unimodal.items()})
        return F.relu(self.fusion(found)), ()

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))


def _dense(width: int, widths: list[int]) -> nn.Sequential:
    sizes = [width, *widths]
    return nn.Sequential(
        *(part for size, after in zip(sizes, widths, strict=False) for part in (nn.Linear(size, after), nn.ReLU()))
    )
