"""Utterance encoder around a pretrained text or speech model of transformers (BERT, RoBERTa, wav2vec 2.0, WavLM ...).

x_1 .. x_S = a layer of backbone(words of some utterances before, words of this one), or of backbone(waveform)
v = pooled x_s over the utterance's own steps; h = v, or relu(dense(v))
logits = classifier(dropout(h))
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoModel

from mm_emotion.errors import BatchError, CheckpointError, ConfigError
from mm_emotion.layers.packing import by_length
from mm_emotion.models.batch import check_words
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.models.pretrained_encoder.configuration_pretrained_encoder import (
    PretrainedEncoderConfig,
    backbone_config,
)
from mm_emotion.models.pretrained_encoder.steps import with_previous
from mm_emotion.schema import MODALITIES

_LIMITLESS = 2**31 - 1
_AT_ONCE = 32  # utterances of like length that a backbone reads together


class PretrainedEncoderForEmotionRecognition(EmotionPreTrainedModel):
    """Takes `input_ids` (B, U, T) with `text_mask`, or waveforms `audio` (B, U, T, 1) with `audio_mask`.

    `from_pretrained` reads a checkpoint of this package; the weights that a training starts from come by `start_from`.
    """

    config_class = PretrainedEncoderConfig
    supports_gradient_checkpointing = True

    def __init__(self, config: PretrainedEncoderConfig):
        super().__init__(config)
        self.backbone = AutoModel.from_config(backbone_config("backbone", config.backbone))
        self.is_text = config.modality == "text"
        self.main_input_name = "input_ids" if self.is_text else "audio"
        # What no step goes through would be without a gradient.
        if hasattr(self.backbone, "pooler"):
            self.backbone.pooler = None
        self.layer_weights = None
        if config.layer == "weighted":
            self.layer_weights = nn.Parameter(torch.zeros(config.num_layers + 1))
        self.dense = None
        if config.projection_size is not None:
            self.dense = nn.Linear(self.backbone.config.hidden_size, config.projection_size)
        self.classifier = nn.Linear(config.representation_size, config.num_labels)
        if isinstance(config.freeze, int) and not self.blocks:
            raise ConfigError("freeze", "'all' or 'none': this backbone has no layers of their own", config.freeze)
        checkpoints = any(hasattr(part, "gradient_checkpointing") for part in self.backbone.modules())
        if config.gradient_checkpointing and not checkpoints:
            raise ConfigError("gradient_checkpointing", "false: this backbone cannot", True)
        self.post_init()
        self.train()

    @property
    def blocks(self) -> list[nn.Module]:
        """The layers of the backbone from below; none where it shares them, or keeps their parts in several lists."""
        count = self.config.num_layers
        for name, part in self.backbone.named_modules():
            known = name.split(".")[-1] in ("h", "layer", "layers")
            if known and isinstance(part, nn.ModuleList) and len(part) == count:
                return list(part)
        return []

    def train(self, mode: bool = True) -> "PretrainedEncoderForEmotionRecognition":
        """As in torch; what is frozen takes no gradient, and a backbone frozen as a whole stays in evaluation mode."""
        super().train(mode)
        # Loading a checkpoint makes every parameter trainable again, but ends by choosing the mode.
        frozen, above = self.config.freeze, self._above()
        if frozen == "all":
            self.backbone.eval().requires_grad_(False)
            return self
        if frozen != "none":
            learning = {id(value) for block in self.blocks[frozen:] for value in block.parameters()}
            for value in self.backbone.parameters():
                value.requires_grad_(id(value) in learning)
        for value in above:
            value.requires_grad_(False)
        return self

    def _above(self) -> list[nn.Parameter]:
        """Weights that the chosen layer does not depend on."""
        unused = [value for name, value in self.backbone.named_parameters() if name.endswith("masked_spec_embed")]
        if self.config.layer not in ("weighted", -1):
            unused += [value for block in self.blocks[self.config.layer :] for value in block.parameters()]
        return unused

    def start_from(self, place: Path | str) -> None:
        """Load the backbone's weights from a folder or a Hub id of transformers; layers beyond those here are left.

        Raises:
            CheckpointError: there is no such model, or its weights do not fit the configuration.
        """
        where = f"pretrained encoder {str(place)!r}"
        try:
            found = AutoModel.from_pretrained(place, use_safetensors=True, dtype=torch.float32, trust_remote_code=False)
        except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
            hint = "give a folder, or load the Hub id into the cache once"
            raise CheckpointError(where, "a model of transformers", " ".join(str(error).split()), hint) from error
        there, here = found.state_dict(), self.backbone.state_dict()
        for name, value in here.items():
            if name not in there or there[name].shape != value.shape:
                given = tuple(there[name].shape) if name in there else "none"
                raise CheckpointError(f"{name} of {where}", f"shape {tuple(value.shape)}", given)
        self.backbone.load_state_dict({name: there[name] for name in here})

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"input_ids": (None,)} if self.is_text else {"audio": (None, 1)}

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        hidden_states, attentions, _ = self.encode_on(batch, None)
        return hidden_states, attentions

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        present = batch.modality_mask[..., MODALITIES.index(self.config.modality)]  # (B, U)
        turns, remembered = self.config.previous_turns, {}
        if self.is_text:
            steps, mask = batch.input_ids, self._mask(batch.text_mask, batch.input_ids, present)
            check_words(steps, self.backbone.config.vocab_size)
            self._check_length(mask)
            own = mask
            if turns > 0:
                before = None if past is None else (past["input_ids"], past["text_mask"])
                remembered = _last(steps, mask, turns, before)
                steps, mask, own = with_previous(steps, mask, turns, self._most_steps, before)
        else:
            steps = batch.audio.squeeze(-1)  # (B, U, T)
            own = mask = self._mask(batch.audio_mask, steps, present)
        rows = present.flatten().nonzero().squeeze(1)  # (N,)
        if len(rows) == 0:  # every process must take part in the sum of gradients
            rows = rows.new_zeros(1)
        steps, mask, own = (values.flatten(0, 1)[rows] for values in (steps, mask, own))  # (N, T)
        first = (torch.arange(own.shape[1], device=own.device) == 0) & ~own.any(1, keepdim=True)
        vectors = self._vectors(steps, mask | first, own | first)  # (N, H)
        if self.dense is not None:
            vectors = F.relu(self.dense(vectors))
        hidden_states = vectors.new_zeros(present.numel(), vectors.shape[1]).index_copy(0, rows, vectors)
        return hidden_states.unflatten(0, present.shape).masked_fill(~present[..., None], 0), (), remembered

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))

    @property
    def _most_steps(self) -> int:
        return min(self.config.max_length or _LIMITLESS, self.config.most_steps or _LIMITLESS)

    @staticmethod
    def _mask(given: Tensor | None, steps: Tensor, present: Tensor) -> Tensor:
        """Which steps there are, (B, U, T)."""
        return present[..., None].expand(steps.shape) if given is None else given & present[..., None]

    def _check_length(self, own: Tensor) -> None:
        if own.device.type != "cpu" or own.shape[2] <= self._most_steps:
            return
        longest = int(own.sum(2).max())
        if longest > self._most_steps:
            raise BatchError("input_ids", f"at most {self._most_steps} steps, as the backbone takes", longest)

    def _vectors(self, steps: Tensor, mask: Tensor, own: Tensor) -> Tensor:
        """One vector (N, H) for each of N utterances from its steps, mask and own steps, each (N, T)."""
        # A model that normalises over the whole of a sound cannot tell padding from silence.
        exactly = not self.is_text and self.backbone.config.to_dict().get("feat_extract_norm") == "group"
        read = (steps, mask, own)
        return by_length(lambda *part: self._pool(*self._states(*part)), read, mask.sum(1), _AT_ONCE, exactly=exactly)

    def _states(self, steps: Tensor, mask: Tensor, own: Tensor) -> tuple[Tensor, Tensor]:
        """The backbone's states (n, S, H), and which of them are the utterances' own (n, S)."""
        every = self.config.layer != -1
        if self.is_text:
            padding = self.backbone.config.pad_token_id
            steps = steps.masked_fill(~mask, 0 if padding is None else padding)
            output = self.backbone(input_ids=steps, attention_mask=mask.long(), output_hidden_states=every)
        else:
            least = self._least_samples()
            missing = max(0, least - steps.shape[1])
            steps, mask = F.pad(steps.masked_fill(~mask, 0), (0, missing)), F.pad(mask, (0, missing))
            mask = mask | (torch.arange(mask.shape[1], device=mask.device) < least)
            output = self.backbone(steps, attention_mask=mask.long(), output_hidden_states=every)
            frames = self.backbone._get_feat_extract_output_lengths(mask.sum(1))  # (n,)
            own = torch.arange(output.last_hidden_state.shape[1], device=steps.device) < frames[:, None]
        if not every:
            return output.last_hidden_state, own
        if self.layer_weights is None:
            return output.hidden_states[self.config.layer], own
        shares = self.layer_weights.softmax(0)
        return sum(share * states for share, states in zip(shares, output.hidden_states, strict=True)), own

    def _least_samples(self) -> int:
        """Samples that give the first frame of a speech model."""
        config, least = self.backbone.config, 1
        for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            least = (least - 1) * stride + kernel
        return least

    def _pool(self, states: Tensor, own: Tensor) -> Tensor:
        """One vector (n, H) from states (n, S, H) over the utterances' own steps (n, S)."""
        pooling = self.config.pooling
        if pooling == "mean":
            vectors = (states * own[..., None]).sum(1) / own.sum(1, keepdim=True)
        elif pooling == "max":
            vectors = states.masked_fill(~own[..., None], torch.finfo(states.dtype).min).amax(1)
        else:
            places = torch.arange(own.shape[1], device=own.device)
            first = torch.where(own, places, own.shape[1]).amin(1)
            last = torch.where(own, places, 0).amax(1)
            vectors = states[torch.arange(len(states), device=own.device), first if pooling == "cls" else last]
        return F.rms_norm(vectors, vectors.shape[1:]) if self.config.normalize else vectors


def _last(ids: Tensor, mask: Tensor, turns: int, before: tuple[Tensor, Tensor] | None) -> dict[str, Tensor]:
    """The last utterances' ids and masks, (B, turns, T), for the next to read."""
    kept = {}
    for number, (name, now) in enumerate((("input_ids", ids), ("text_mask", mask))):
        earlier = now.new_zeros(len(now), turns, 1) if before is None else before[number]
        longest = max(now.shape[2], earlier.shape[2])
        both = [F.pad(values, (0, longest - values.shape[2])) for values in (earlier, now)]
        kept[name] = torch.cat(both, 1)[:, -turns:]
    return kept
