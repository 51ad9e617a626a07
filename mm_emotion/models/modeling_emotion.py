"""The one base model: the batch contract, the five beats of a forward pass, the loss and the checkpoint rules."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from huggingface_hub import CommitInfo, ModelCard
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.utils import ModelOutput

from mm_emotion.errors import BatchError, CheckpointError, ConfigError, nearest
from mm_emotion.layers.fusion import concatenate
from mm_emotion.layers.initialization import keras_initialization
from mm_emotion.models.batch import EmotionBatch, check_batch, drop_modalities, fill_missing, modality_of
from mm_emotion.models.card import short_card
from mm_emotion.models.configuration_emotion import EmotionConfig
from mm_emotion.models.live import DialogueState
from mm_emotion.models.losses import loss_terms
from mm_emotion.schema import BATCH_KEYS, MODALITIES, TIME_MASKS

__all__ = ["EmotionBatch", "EmotionOutput", "EmotionPreTrainedModel"]


_EMPTY_CARD = "This model card has been automatically generated."


@dataclass
class EmotionOutput(ModelOutput):
    """What every model returns; padded positions of `logits` and `hidden_states` are 0.

    loss (), logits (B, U, K), hidden_states (B, U, H), attentions: the family's own weights, only on request.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    hidden_states: Tensor | None = None
    attentions: tuple[Tensor, ...] | None = None


class EmotionPreTrainedModel(PreTrainedModel):
    """Base of all families: a family builds its parts and a `classifier`, implements `encode` and ends in `post_init`.

    `needs_speakers` says whether `encode` reads `speaker_mask`.
    """

    config_class = EmotionConfig
    base_model_prefix = "emotion"
    main_input_name = "utterance_mask"
    needs_speakers = False

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Hidden states (B, U, H) of a gathered batch, and the family's attention weights (an empty tuple if none)."""
        raise NotImplementedError

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        """`encode` of utterances that follow on what `past` remembers, and what to remember after them, (B, ...) each.

        A causal family that reads earlier utterances has its own, and so has one whose parts may; all others have
        nothing to remember.
        """
        return *self.encode(batch), {}

    def classify(self, hidden_states: Tensor) -> Tensor:
        """Logits (B, U, K) of hidden states (B, U, H)."""
        return self.classifier(hidden_states)

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Batch key -> its axes after (B, U), None where any size will do; by default one vector per modality."""
        return {modality: (self.config.modality_dims[modality],) for modality in self.config.modalities}

    def forward(
        self,
        input_ids: Tensor | None = None,
        text: Tensor | None = None,
        audio: Tensor | None = None,
        visual: Tensor | None = None,
        mocap: Tensor | None = None,
        text_mask: Tensor | None = None,
        audio_mask: Tensor | None = None,
        visual_mask: Tensor | None = None,
        mocap_mask: Tensor | None = None,
        modality_mask: Tensor | None = None,
        utterance_mask: Tensor | None = None,
        speaker_mask: Tensor | None = None,
        labels: Tensor | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> EmotionOutput | tuple[Tensor, ...]:
        """Logits and hidden states of a batch, and its loss when there are labels.

        Each tensor is a key of the batch contract in `schema.py`; a model ignores the keys it has no use for. Left out,
        `utterance_mask` means that all utterances are real, `modality_mask` that all given modalities are present, and
        a time mask that every step counts. Of several modalities some may be left out: they count as missing.

        Raises:
            BatchError: a needed key is missing, or has the wrong shape or dtype; it names the key.
        """
        given = EmotionBatch(
            input_ids, text, audio, visual, mocap, text_mask, audio_mask, visual_mask, mocap_mask,
            modality_mask, utterance_mask, speaker_mask, labels,
        )  # fmt: skip
        batch = self.gather(given)
        hidden_states, attentions = self.encode(batch)
        padding = ~batch.utterance_mask[..., None]  # (B, U, 1)
        hidden_states = hidden_states.masked_fill(padding, 0)  # (B, U, H)
        logits = self.classify(hidden_states).masked_fill(padding, 0)  # (B, U, K)
        loss = None
        if labels is not None:
            numerator, denominator = self.loss_terms(logits, labels, batch.utterance_mask)
            loss = numerator / torch.where(denominator > 0, denominator, 1)
        wanted = self.config.output_attentions if output_attentions is None else output_attentions
        output = EmotionOutput(loss, logits, hidden_states, attentions if wanted and attentions else None)
        return output if self.config.return_dict and return_dict is not False else output.to_tuple()

    @torch.no_grad()
    def step(
        self, utterances: Mapping[str, Tensor], state: DialogueState | None = None
    ) -> tuple[Tensor, DialogueState]:
        """Logits (B, U, K) of the next utterances of B running dialogues, as `forward` would give them on the whole.

        `utterances` are keys of the batch contract, mostly with U = 1 and all of them real; without `state` the
        dialogues begin here. Dialogues join and leave between steps: see `DialogueState`. For use after `eval()`. A
        state follows the model into another dtype, but not onto another device.

        Raises:
            ConfigError: the model looks ahead.
            BatchError: an input does not fit, there is no utterance, or one is padding.
            CheckpointError: the state belongs to another model or number of dialogues, or is on another device.
        """
        if not self.config.is_causal:
            raise ConfigError("is_causal", "True: a step cannot know later utterances", f"{type(self).__name__}, False")
        for key in utterances:
            if key not in BATCH_KEYS:
                raise BatchError(key, "a key of the batch contract", "an unknown key", nearest(key, BATCH_KEYS))
        batch = self.gather(EmotionBatch(**utterances))
        if not batch.utterance_mask.all():
            raise BatchError("utterance_mask", "only real utterances in a step", "padding")
        own, past = self._shape_name(), None
        if state is not None:
            _check_state(state, own, batch)
            past = {
                name: tensor.to(self.dtype) if tensor.is_floating_point() else tensor
                for name, tensor in state.tensors.items()
            }
        hidden_states, _, tensors = self.encode_on(batch, past)
        return self.classify(hidden_states), DialogueState(own, tensors)

    def _shape_name(self) -> str:
        own = {name: getattr(self.config, name) for name in sorted(self.config.own_hints())}
        digest = hashlib.sha256(json.dumps(own, sort_keys=True, default=str).encode()).hexdigest()
        return f"{self.config.model_type} {digest[:12]}"

    def gather(self, batch: EmotionBatch) -> EmotionBatch:
        """The batch checked and completed: features in the model's dtype, zeros on padding and missing modalities."""
        shapes = self.input_shapes()
        batch = fill_missing(batch, shapes, self.dtype)
        lead = check_batch(batch, shapes, self.config, self.needs_speakers)
        utterance_mask = batch.utterance_mask
        if utterance_mask is None:
            utterance_mask = torch.ones(lead, dtype=torch.bool, device=getattr(batch, next(iter(shapes))).device)
        present = utterance_mask[..., None].expand(*lead, len(MODALITIES))  # (B, U, 4)
        if batch.modality_mask is not None:
            present = present & batch.modality_mask
        columns = {key: MODALITIES.index(modality_of(key)) for key in shapes}
        if self.training and self.config.modality_dropout > 0:
            present = drop_modalities(present, sorted(set(columns.values())), self.config.modality_dropout)
        completed = {"utterance_mask": utterance_mask, "modality_mask": present}
        for key, column in columns.items():
            values, here = getattr(batch, key), present[..., column]  # (B, U, ...), (B, U)
            values = values.to(self.dtype) if values.is_floating_point() else values
            completed[key] = values.masked_fill(~here.reshape(*lead, *[1] * (values.ndim - 2)), 0)
            steps = getattr(batch, TIME_MASKS[column])
            if steps is not None:
                completed[TIME_MASKS[column]] = steps & here[..., None]
        return replace(batch, **completed)

    def side_by_side(self, batch: EmotionBatch) -> Tensor:
        """The utterance vectors of all modalities as one, (B, U, sum of D), with input dropout."""
        x = concatenate({name: getattr(batch, name) for name in self.config.modalities})
        return F.dropout(x, self.config.input_dropout, self.training)

    def loss_terms(self, logits: Tensor, labels: Tensor, utterance_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Numerator and denominator of the loss of this batch, both (), to be summed over processes before dividing."""
        return loss_terms(logits, labels, utterance_mask, self.config.loss, self.config.class_weights)

    def _init_weights(self, module: nn.Module) -> None:
        # The published systems assume torch's own initialisation, not the N(0, 0.02) of transformers. A family with a
        # bare nn.Parameter extends this through transformers.initialization, which spares loaded weights.
        if self.config.initialization == "keras" and keras_initialization(module):
            return
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()

    def _upload_modified_files(self, working_dir: str | os.PathLike, repo_id: str, *args, **kwargs) -> CommitInfo:
        """The one commit of `push_to_hub`, with a card of this model in place of the empty one of transformers.

        A card that the repository has stays. Which recipe and results belong to the weights a model cannot know, as
        they may have changed since it was loaded, and its processor pushes itself in a commit of its own: one commit of
        a whole system is `mm_emotion.hub.push_system`.
        """
        page = Path(working_dir) / "README.md"
        card = ModelCard.load(page)
        if _EMPTY_CARD in card.content:
            page.write_text(short_card(self, repo_id, card.data.tags or ()), encoding="utf-8")
        return super()._upload_modified_files(working_dir, repo_id, *args, **kwargs)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *args, **kwargs):
        """As in transformers, but from safetensors alone.

        Raises:
            CheckpointError: a local folder holds no safetensors weights, or they are truncated or do not fit.
        """
        kwargs["use_safetensors"] = True
        load = super().from_pretrained
        folder = Path(pretrained_model_name_or_path or "")
        if pretrained_model_name_or_path is None or not folder.is_dir():
            return load(pretrained_model_name_or_path, *args, **kwargs)
        if not any((folder / kwargs.get("subfolder", "")).glob("*.safetensors")):
            raise CheckpointError(str(folder), "safetensors weights", "a folder without any")
        wants_report = kwargs.pop("output_loading_info", False)
        try:
            model, report = load(pretrained_model_name_or_path, *args, output_loading_info=True, **kwargs)
        except (SafetensorError, OSError, RuntimeError, KeyError) as error:
            raise CheckpointError(str(folder), f"an intact {cls.__name__} checkpoint", str(error)) from error
        # A missing head is initialised, as in transformers; a model of which nothing was found would be random.
        if len(report["missing_keys"]) == len(model.state_dict()):
            raise CheckpointError(str(folder), f"weights of {cls.__name__}", "weights of another model")
        return (model, report) if wants_report else model


def _check_state(state: DialogueState, own: str, batch: EmotionBatch) -> None:
    """Refuse a state that is not of the model named `own`, or not of the dialogues of the batch."""
    if not isinstance(state, DialogueState):
        raise CheckpointError("state", "a DialogueState", type(state).__name__)
    if state.model != own:
        raise CheckpointError("state", f"one of this model, {own}", state.model)
    for name, tensor in state.tensors.items():
        if len(tensor) != len(batch.utterance_mask):
            raise CheckpointError(f"state {name}", f"{len(batch.utterance_mask)} dialogues", len(tensor))
        if tensor.device != batch.utterance_mask.device:
            raise CheckpointError(f"state {name}", f"device {batch.utterance_mask.device}", tensor.device)
