"""Configuration of an utterance encoder around a pretrained text or speech model of transformers."""

from typing import Any, Literal

from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from mm_emotion.errors import ConfigError, nearest
from mm_emotion.models.configuration_emotion import EmotionConfig

_OF_A_FILE = ("transformers_version", "_name_or_path", "architectures", "dtype", "torch_dtype", "id2label", "label2id")
_OFF = {"layerdrop": 0.0, "apply_spec_augment": False}
_COUNTS_BEHIND = (  # positions start behind the padding's number
    *("camembert", "data2vec-text", "ibert", "lilt", "longformer", "luke", "mpnet", "roberta", "roberta-prelayernorm"),
    *("xlm-roberta", "xlm-roberta-xl", "xmod"),
)


class PretrainedEncoderConfig(EmotionConfig):
    """A backbone of transformers -> one of its layers -> pooling over the steps -> `hidden_states` -> labels.

    `backbone` is the backbone's own configuration, whole, with its `model_type`; so a checkpoint says by itself what it
    is. `modality` text reads `input_ids` of the backbone's tokenizer, audio reads waveforms. `layer` counts as in
    transformers, 0 behind the embeddings and -1 the last; `weighted` learns a weighted mean of all. `pooling` takes
    the mean or maximum over an utterance's own steps, its first (`cls`) or its last. `normalize` scales the vector to
    a mean square of 1. `projection_size` adds a dense layer with ReLU.

    `freeze` all keeps the backbone still, in evaluation mode; a number keeps the embeddings and so many layers above
    them. Of `previous_turns` utterances before it an utterance sees the words, never of later ones or of another
    dialogue, the oldest words dropped beyond `max_length` steps. `gradient_checkpointing` computes activations anew in
    the backward pass.
    """

    model_type = "pretrained_encoder"

    modality: Literal["text", "audio"] = "text"
    backbone: dict[str, Any] | None = None
    pooling: Literal["mean", "cls", "max", "last"] = "mean"
    layer: int | Literal["weighted"] = -1
    normalize: bool = False
    projection_size: int | None = None
    freeze: int | Literal["all", "none"] = "none"
    previous_turns: int = 0
    max_length: int | None = None
    gradient_checkpointing: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if not self.backbone:
            raise ConfigError("backbone", "the configuration of a backbone, with its model_type", "none")
        found = backbone_config("backbone", self.backbone)
        self.backbone = whole_backbone(found)
        self.hidden_size = self.projection_size or found.hidden_size
        super().__post_init__(**kwargs)

    def check(self) -> None:
        super().check()
        if self.modality_dims:
            raise ConfigError("modality_dims", "an empty map: words and waveforms have no width", self.modality_dims)
        self.refuse(("input_dropout",), "this model reads words or waveforms")
        if self.layer != "weighted" and not -1 <= self.layer <= self.num_layers:
            raise ConfigError("layer", f"'weighted', -1 or 0 .. {self.num_layers}", self.layer)
        if isinstance(self.freeze, int) and not 0 <= self.freeze <= self.num_layers:
            raise ConfigError("freeze", f"'all', 'none' or 0 .. {self.num_layers}", self.freeze)
        for field in ("projection_size", "max_length"):
            if getattr(self, field) is not None:
                self.require_at_least(field, getattr(self, field), 1)
        self.require_at_least("previous_turns", self.previous_turns, 0)
        if self.modality == "audio":
            self.refuse(("previous_turns", "max_length"), "only words are read beside those of other utterances")
        elif self.max_length is not None and self.most_steps is not None and self.max_length > self.most_steps:
            raise ConfigError("max_length", f"at most {self.most_steps}, the backbone's positions", self.max_length)
        # Speech models name a vocabulary as well, that of their transcripts.
        read = "audio" if "conv_stride" in self.backbone else "text" if "vocab_size" in self.backbone else None
        if read != self.modality:
            expected = f"an encoder that reads {'words' if self.modality == 'text' else 'waveforms'}"
            raise ConfigError("backbone.model_type", expected, repr(self.backbone["model_type"]))

    @property
    def num_layers(self) -> int:
        """Layers of the backbone."""
        return backbone_config("backbone", self.backbone).num_hidden_layers

    @property
    def most_steps(self) -> int | None:
        """Steps that the backbone has positions for, None where any number will do."""
        positions = self.backbone.get("max_position_embeddings", self.backbone.get("n_positions"))
        if not isinstance(positions, int) or positions < 1:
            return None
        return positions - (self.backbone["pad_token_id"] + 1 if self.backbone["model_type"] in _COUNTS_BEHIND else 0)

    @property
    def is_still(self) -> bool:
        """Whether training would change nothing of what it makes of an utterance."""
        return self.freeze == "all" and self.projection_size is None and self.layer != "weighted"


def backbone_config(field: str, backbone: dict[str, Any]) -> PreTrainedConfig:
    """The configuration object of a backbone.

    Raises:
        ConfigError: its `model_type` is unknown, or not that of a text or speech encoder of transformers, or
            there is a decoder behind it.
    """
    kind = backbone.get("model_type")
    if kind not in CONFIG_MAPPING:
        hint = nearest(str(kind), list(CONFIG_MAPPING))
        raise ConfigError(f"{field}.model_type", "a model type of transformers", repr(kind), hint)
    config = AutoConfig.for_model(**backbone)
    sized = all(hasattr(config, size) for size in ("hidden_size", "num_hidden_layers"))
    if isinstance(config, EmotionConfig) or not sized or config.is_encoder_decoder:
        raise ConfigError(f"{field}.model_type", "a text or speech encoder of transformers", repr(kind))
    return config


def whole_backbone(config: PreTrainedConfig) -> dict[str, Any]:
    """A backbone's configuration as plain data with every default of today, free of what its file says of itself.

    Layers left out at random and masked stretches of sound are off: short utterances cannot spare them.
    """
    data = {name: value for name, value in config.to_dict().items() if name not in _OF_A_FILE}
    return data | {name: value for name, value in _OFF.items() if name in data}
