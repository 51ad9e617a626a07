"""Early fusion: modalities joined before one network reads them.

x = [x_1; x_2; ..], of each aligned step or of the utterance     (Williams et al., 2018)
x_1 = 1 at the place of the step's word, 0 elsewhere             (`one_hot_words`)
x = tanh(W [x_1; x_2; ..] + b)                                   (joint-CNN; Sebastian and Pierucci, 2019, Eq. 1)
hidden, logits = stack(x)
"""

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from mm_emotion.layers.fusion import concatenate
from mm_emotion.models.batch import aligned, check_words
from mm_emotion.models.children import check_labels
from mm_emotion.models.early_fusion.configuration_early_fusion import EarlyFusionConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.schema import MODALITIES, TIME_MASKS


class EarlyFusionForEmotionRecognition(EmotionPreTrainedModel):
    """Aligned sequences (B, U, T, D) with their time masks, or vectors (B, U, D), as the stack reads them."""

    config_class = EarlyFusionConfig

    def __init__(self, config: EarlyFusionConfig):
        super().__init__(config)
        self.projection = None
        if config.projection_size is not None:
            self.projection = nn.Linear(config.joined_size, config.projection_size)
        self.stack = AutoModel.from_config(AutoConfig.for_model(**config.stack))
        check_labels(config, self.stack)
        self.needs_speakers = self.stack.needs_speakers
        self.post_init()
        self.train()

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        ((_, axes),) = self.stack.input_shapes().items()
        words = {} if self.config.one_hot_words is None else {"input_ids": axes[:-1]}
        return words | {name: (*axes[:-1], self.config.modality_dims[name]) for name in self.config.modalities}

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.stack.encode(self._fused(batch))

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        return self.stack.encode_on(self._fused(batch), past)

    def _fused(self, batch: EmotionBatch) -> EmotionBatch:
        """What the stack reads."""
        parts = [(name, getattr(batch, name)) for name in self.config.modalities]
        if self.config.one_hot_words is not None:
            check_words(batch.input_ids, self.config.one_hot_words)
            words = F.one_hot(batch.input_ids, self.config.one_hot_words).to(self.dtype)  # (B, U, T, V)
            words[..., 0] = 0  # the index of padding
            parts.insert(0, ("text", words))
        ((stream, axes),) = self.stack.input_shapes().items()
        fused = dict.fromkeys((*MODALITIES, *TIME_MASKS))
        if len(axes) > 1:
            sequences, fused[f"{stream}_mask"] = aligned(batch, parts)
            x = torch.cat(sequences, -1)  # (B, U, T, D)
        else:
            x = concatenate(dict(parts))  # (B, U, D)
        fused[stream] = x if self.projection is None else torch.tanh(self.projection(x))
        present = torch.zeros_like(batch.modality_mask)
        here = batch.modality_mask[..., [MODALITIES.index(name) for name, _ in parts]]  # (B, U, M)
        present[..., MODALITIES.index(stream)] = here.any(-1)
        return replace(batch, **fused, input_ids=None, modality_mask=present)

    def classify(self, hidden_states: Tensor) -> Tensor:
        logits = self.stack.classify(hidden_states)
        if self.config.output_range is None or (self.training and not self.config.clamp_in_loss):
            return logits
        return logits.clamp(*self.config.output_range)
