"""Configuration of a finished two-stage system."""

from typing import Any, Literal

from mm_emotion.errors import ConfigError, nearest
from mm_emotion.models.children import as_data, child_config, common_widths
from mm_emotion.models.configuration_emotion import EmotionConfig
from mm_emotion.schema import MODALITIES


class HierarchicalConfig(EmotionConfig):
    """Utterance models and the dialogue model that reads what they make.

    `encoders` holds the configuration of each utterance model, `streams` the modality in which the dialogue model reads
    it, and `outputs` whether it reads `hidden_states` (the default) or `log_probabilities`, one each; encoders of the
    same stream stand side by side, behind the batch's own vector of that modality where `vectors` gives its width.
    `dialogue` is the configuration of the dialogue model, whose `modality_dims` must be what it is given: the summed
    width of a stream, or the width of the vectors in the batch where a modality has no encoder. `modality_dims` of the
    whole follows from the parts.
    """

    model_type = "hierarchical"

    encoders: list[dict[str, Any]] | None = None
    streams: list[str] | None = None
    outputs: list[Literal["hidden_states", "log_probabilities"]] | None = None
    vectors: dict[str, int] | None = None
    dialogue: dict[str, Any] | None = None
    freeze_encoders: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        for field in ("encoders", "dialogue"):
            if not getattr(self, field):
                raise ConfigError(field, "the configuration of a part", "none")
        if self.streams is None or len(self.streams) != len(self.encoders):
            raise ConfigError("streams", f"{len(self.encoders)} modalities, one for each encoder", self.streams)
        self.outputs = ["hidden_states"] * len(self.encoders) if self.outputs is None else self.outputs
        if len(self.outputs) != len(self.encoders):
            raise ConfigError("outputs", f"{len(self.encoders)} names, one for each encoder", self.outputs)
        self.vectors = {} if self.vectors is None else self.vectors
        for stream, width in self.vectors.items():
            if stream not in self.streams:
                raise ConfigError("vectors", f"widths for some of the streams {self.streams}", repr(stream))
            self.require_at_least(f"vectors[{stream!r}]", width, 1)
        children = [child_config(f"encoders[{i}]", child) for i, child in enumerate(self.encoders)]
        own = dict(self.dialogue)
        if not {"num_labels", "id2label"} & own.keys():
            own["num_labels"] = len(self.id2label) if self.id2label is not None else kwargs.get("num_labels", 2)
        dialogue = child_config("dialogue", own)
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label = dict(dialogue.id2label)
        self.encoders, self.dialogue = [as_data(child) for child in children], as_data(dialogue)
        needed = self._needed(children, dialogue)
        if self.modality_dims not in (None, {}, needed):
            raise ConfigError("modality_dims", f"{needed}, which follows from the parts", self.modality_dims)
        self.modality_dims, self.hidden_size = needed, dialogue.representation_size
        self.num_parties = dialogue.num_parties
        super().__post_init__(**kwargs)
        if dialogue.num_labels != self.num_labels:
            raise ConfigError("dialogue.num_labels", self.num_labels, dialogue.num_labels)

    @property
    def is_causal(self) -> bool:
        parts = [child_config("encoders", child) for child in self.encoders] + [child_config("dialogue", self.dialogue)]
        return all(part.is_causal for part in parts)

    def _needed(self, children: list[EmotionConfig], dialogue: EmotionConfig) -> dict[str, int]:
        """Widths that the batch must have, after checking that the parts fit together."""
        given: dict[str, int] = dict(self.vectors)
        for stream, output, child in zip(self.streams, self.outputs, children, strict=True):
            if stream not in MODALITIES:
                raise ConfigError(
                    "streams", f"modalities of {MODALITIES}", repr(stream), nearest(stream, list(MODALITIES))
                )
            width = child.representation_size if output == "hidden_states" else child.num_labels
            given[stream] = given.get(stream, 0) + width
        for stream, width in given.items():
            if dialogue.modality_dims.get(stream) != width:
                raise ConfigError(f"dialogue.modality_dims[{stream!r}]", width, dialogue.modality_dims.get(stream))
        direct = {name: dialogue.modality_dims[name] for name in dialogue.modalities if name not in given}
        return common_widths(children, direct | self.vectors)
