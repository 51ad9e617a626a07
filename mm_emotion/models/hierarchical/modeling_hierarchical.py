"""A finished two-stage system as one checkpoint: utterance models and the dialogue model that reads them.

    h_t = hidden state of utterance t in its encoder; the classifier that trained the encoder is gone
    logits = dialogue model(h_1 .. h_U)

Trained apart and joined by `from_children`, or trained end to end.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from mm_emotion.models.children import as_data, check_labels, common_shapes, encode_on_each, has_input, of_part
from mm_emotion.models.hierarchical.configuration_hierarchical import HierarchicalConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.schema import MODALITIES, TIME_MASKS


class HierarchicalForEmotionRecognition(EmotionPreTrainedModel):
    """Takes what its encoders take, and vectors (B, U, D) for modalities that the dialogue model reads directly."""

    config_class = HierarchicalConfig
    supports_gradient_checkpointing = True  # that of its parts

    def __init__(self, config: HierarchicalConfig):
        super().__init__(config)
        self.encoders = nn.ModuleList(AutoModel.from_config(AutoConfig.for_model(**child)) for child in config.encoders)
        for encoder, output in zip(self.encoders, config.outputs, strict=True):
            if output == "hidden_states":
                encoder.classifier = None
        self.dialogue = AutoModel.from_config(AutoConfig.for_model(**config.dialogue))
        check_labels(config, self.dialogue)
        self.needs_speakers = any(part.needs_speakers for part in (self.dialogue, *self.encoders))
        self.post_init()
        self.train()

    @classmethod
    def from_children(
        cls,
        dialogue: EmotionPreTrainedModel,
        encoders: list[tuple[str, EmotionPreTrainedModel]],
        outputs: list[str] | None = None,
        vectors: dict[str, int] | None = None,
        freeze_encoders: bool = False,
    ) -> "HierarchicalForEmotionRecognition":
        """One system from trained parts, with a copy of their weights; `encoders` are pairs of stream and model."""
        config = HierarchicalConfig(
            encoders=[as_data(encoder.config) for _, encoder in encoders],
            streams=[stream for stream, _ in encoders],
            outputs=outputs,
            vectors=vectors,
            dialogue=as_data(dialogue.config),
            freeze_encoders=freeze_encoders,
            id2label=dict(dialogue.config.id2label),
            problem_type=dialogue.config.problem_type,
            loss=dialogue.config.loss,
            class_weights=dialogue.config.class_weights,
        )
        model = cls(config).to(dialogue.dtype)
        model.dialogue.load_state_dict(dialogue.state_dict())
        for part, (_, encoder) in zip(model.encoders, encoders, strict=True):
            kept = part.state_dict().keys()
            part.load_state_dict({key: value for key, value in encoder.state_dict().items() if key in kept})
        return model

    def train(self, mode: bool = True) -> "HierarchicalForEmotionRecognition":
        """As in torch; frozen encoders stay in evaluation mode."""
        super().train(mode)
        # Loading a checkpoint makes every parameter trainable again, but ends by choosing the mode.
        if self.config.freeze_encoders:
            self.encoders.eval().requires_grad_(False)
        return self

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        direct = self.dialogue.input_shapes()
        shapes = {key: axes for key, axes in direct.items() if key not in self.config.streams}
        shapes |= {stream: (width,) for stream, width in self.config.vectors.items()}
        return common_shapes(self.encoders, shapes)

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.dialogue.encode(self._utterances(batch, [encoder.encode(batch)[0] for encoder in self.encoders]))

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        encoded, encoders = encode_on_each(self.encoders, batch, of_part(past, "encoders"))
        utterances = self._utterances(batch, [states for states, _ in encoded])
        states, attentions, dialogue = self.dialogue.encode_on(utterances, of_part(past, "dialogue"))
        remembered = {
            f"{part}.{name}": value
            for part, own in (("encoders", encoders), ("dialogue", dialogue))
            for name, value in own.items()
        }
        return states, attentions, remembered

    def _utterances(self, batch: EmotionBatch, encoded: list[Tensor]) -> EmotionBatch:
        """What the dialogue model reads, from hidden states (B, U, H) of each encoder."""
        config = self.config
        parts: dict[str, list[Tensor]] = {stream: [] for stream in config.streams}
        present: dict[str, list[Tensor]] = {stream: [] for stream in config.streams}
        for stream in config.vectors:
            parts[stream].append(getattr(batch, stream))
            present[stream].append(batch.modality_mask[..., MODALITIES.index(stream)])
        for stream, output, encoder, made in zip(config.streams, config.outputs, self.encoders, encoded, strict=True):
            if output == "log_probabilities":
                made = encoder.classify(made).log_softmax(-1)  # (B, U, K)
            here = has_input(encoder, batch)  # (B, U)
            parts[stream].append(made.masked_fill(~here[..., None], 0))
            present[stream].append(here)
        vectors = {stream: torch.cat(states, -1) for stream, states in parts.items()}
        # A stream may stand under the name of a modality that its encoders do not read.
        modality_mask = batch.modality_mask.clone()
        for stream, encoders in present.items():
            modality_mask[..., MODALITIES.index(stream)] = torch.stack(encoders).any(0)
        return replace(batch, input_ids=None, modality_mask=modality_mask, **dict.fromkeys(TIME_MASKS), **vectors)

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.dialogue.classify(hidden_states)
