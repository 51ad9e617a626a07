"""Tensor Fusion Network (Zadeh et al., 2017): every product of up to three modalities' features.

v_m = relu(linear(relu(linear(relu(linear(dropout(batch norm(x_m))))))))   for a vector
v_t = linear(dropout(last state of an LSTM over the words))                for a sequence of words
z = [1; v_1] ⊗ [1; v_2] ⊗ [1; v_3]
hidden = relu(linear(relu(linear(dropout(z))))), logits = classifier(hidden)

Modalities stand in `schema.MODALITIES` order (the released code has text last), the same up to the order of weights.
Deliberate deviations: batch statistics are those of present utterances, not of padding, a missing modality gives
v_m = 0, so that the other two are fused as if alone, and the LSTM ends at the last real word.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.layers.fusion import outer_product
from mm_emotion.layers.normalization import MaskedBatchNorm
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.models.tfn.configuration_tfn import TFNConfig
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear
from mm_emotion.schema import MODALITIES


class VectorSubnet(nn.Module):
    """Batch norm and three dense layers; 0 for an utterance without the modality."""

    def __init__(self, input_size: int, size: int, dropout: float):
        super().__init__()
        self.norm = MaskedBatchNorm(input_size, epsilon=1e-5, momentum=0.9)
        self.layers = nn.ModuleList([nn.Linear(input_size, size), nn.Linear(size, size), nn.Linear(size, size)])
        self.dropout = dropout

    def forward(self, x: Tensor, present: Tensor) -> Tensor:
        """(B, U, H) of x (B, U, D) and present (B, U)."""
        x = F.dropout(self.norm(x, present), self.dropout, self.training)
        for layer in self.layers:
            x = F.relu(layer(x))
        return x.masked_fill(~present[..., None], 0)


class SequenceSubnet(nn.Module):
    """The last state of an LSTM, brought to `output_size`; 0 for an utterance without steps."""

    def __init__(self, input_size: int, size: int, output_size: int, dropout: float):
        super().__init__()
        self.lstm = nn.LSTM(input_size, size, batch_first=True)
        self.linear = nn.Linear(size, output_size)
        self.dropout = dropout

    def forward(self, x: Tensor, present: Tensor, mask: Tensor | None) -> Tensor:
        """(B, U, H) of x (B, U, T, D), present (B, U) and mask (B, U, T), None where every step is real."""
        states = self.lstm(x.flatten(0, 1))[0]  # (B*U, T, H)
        lengths = present.flatten() * x.shape[2] if mask is None else mask.flatten(0, 1).sum(1)  # (B*U,)
        last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, states.shape[2])
        state = F.dropout(states.gather(1, last)[:, 0], self.dropout, self.training)
        return self.linear(state).masked_fill((lengths == 0)[:, None], 0).unflatten(0, x.shape[:2])


class TensorFusion(nn.Module):
    """Dropout on the outer product and a linear layer; without dropout the product is never formed."""

    def __init__(self, sizes: list[int], output_size: int, dropout: float):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(*(size + 1 for size in sizes), output_size))  # (I, J[, K], H)
        self.bias = nn.Parameter(torch.empty(output_size))
        self.dropout = dropout
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """As torch draws a linear layer whose inputs are the values of the product."""
        bound = 1 / math.sqrt(math.prod(self.weight.shape[:-1]))
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def forward(self, parts: list[Tensor]) -> Tensor:
        """(B, U, H) of one tensor (B, U, D) per modality."""
        if not self.training or self.dropout == 0:
            return tensor_fusion_linear(parts, self.weight, self.bias)
        product = F.dropout(outer_product(parts), self.dropout)  # (B, U, I*J[*K])
        return F.linear(product, self.weight.flatten(0, -2).T, self.bias)


class TFNForEmotionRecognition(EmotionPreTrainedModel):
    """Vectors (B, U, D), and words `text` (B, U, T, D) with `text_mask` unless `text_input` says otherwise."""

    config_class = TFNConfig

    def __init__(self, config: TFNConfig):
        super().__init__(config)
        self.subnets = nn.ModuleDict()
        for name in config.modalities:
            width, size = config.modality_dims[name], config.subnet_sizes[name]
            if self._is_sequence(name):
                self.subnets[name] = SequenceSubnet(width, size, config.text_output_size, config.subnet_dropout)
            else:
                self.subnets[name] = VectorSubnet(width, size, config.subnet_dropout)
        self.fusion = TensorFusion(config.fused_sizes, config.hidden_size, config.dropout)
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def _is_sequence(self, modality: str) -> bool:
        return modality == "text" and self.config.text_input == "sequence"

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        widths = self.config.modality_dims
        return {
            name: (None, widths[name]) if self._is_sequence(name) else (widths[name],)
            for name in self.config.modalities
        }

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        parts = []
        for name in self.config.modalities:
            x, present = getattr(batch, name), batch.modality_mask[..., MODALITIES.index(name)]
            more = (batch.text_mask,) if self._is_sequence(name) else ()
            parts.append(self.subnets[name](x, present, *more))  # (B, U, D)
        return F.relu(self.dense(F.relu(self.fusion(parts)))), ()

    def classify(self, hidden_states: Tensor) -> Tensor:
        logits = self.classifier(hidden_states)
        if self.config.output_range is None:
            return logits
        low, high = self.config.output_range
        return low + (high - low) * logits.sigmoid()
