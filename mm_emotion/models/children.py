"""Models inside a model: their configurations as data, and what they ask of the batch together."""

import json
from collections.abc import Iterable
from typing import Any

from torch import Tensor
from transformers import CONFIG_MAPPING, AutoConfig

from mm_emotion.errors import ConfigError, nearest
from mm_emotion.models.batch import EmotionBatch, modality_of
from mm_emotion.models.configuration_emotion import EmotionConfig
from mm_emotion.models.modeling_emotion import EmotionPreTrainedModel
from mm_emotion.schema import MODALITIES


def child_config(field: str, child: dict[str, Any]) -> EmotionConfig:
    """The configuration object of a part.

    Raises:
        ConfigError: its `model_type` is missing, unknown or not one of this package; or as its own class says.
    """
    kind = child.get("model_type")
    if kind not in CONFIG_MAPPING:
        raise ConfigError(
            f"{field}.model_type", "a known model type", repr(kind), nearest(str(kind), list(CONFIG_MAPPING))
        )
    config = AutoConfig.for_model(**child)
    if not isinstance(config, EmotionConfig):
        raise ConfigError(f"{field}.model_type", "an emotion model of this package", repr(kind))
    return config


def as_data(config: EmotionConfig) -> dict[str, Any]:
    """A configuration as plain JSON data, free of the version that wrote it."""
    data = json.loads(config.to_json_string())
    data.pop("transformers_version")
    return data


def common_widths(children: Iterable[EmotionConfig], widths: dict[str, int] | None = None) -> dict[str, int]:
    """Feature widths that the batch must have for all children, and for `widths` beside them.

    Raises:
        ConfigError: two of them read a modality at different widths.
    """
    needed = dict(widths or {})
    for child in children:
        for name in child.modalities:
            if needed.setdefault(name, child.modality_dims[name]) != child.modality_dims[name]:
                raise ConfigError(f"modality_dims[{name!r}]", "one width in all parts that read it", needed[name])
    return needed


def common_shapes(
    children: Iterable[EmotionPreTrainedModel], shapes: dict[str, tuple[int | None, ...]] | None = None
) -> dict[str, tuple[int | None, ...]]:
    """Batch key -> axes after (B, U) for all children, and for `shapes` beside them.

    Raises:
        ConfigError: two of them read a key in different shapes.
    """
    needed = dict(shapes or {})
    for child in children:
        for key, axes in child.input_shapes().items():
            if needed.setdefault(key, axes) != axes:
                raise ConfigError(key, f"one shape {needed[key]} in all parts that read it", axes)
    return needed


def has_input(child: EmotionPreTrainedModel, batch: EmotionBatch) -> Tensor:
    """Whether an utterance has any modality that the child reads, (B, U) bool."""
    columns = [MODALITIES.index(modality_of(key)) for key in child.input_shapes()]
    return batch.modality_mask[..., columns].any(-1)


def of_part(past: dict[str, Tensor] | None, part: str) -> dict[str, Tensor] | None:
    """What `past` remembers of one part."""
    if past is None:
        return None
    return {name.removeprefix(f"{part}."): value for name, value in past.items() if name.startswith(f"{part}.")}


def encode_on_each(
    children: Iterable[EmotionPreTrainedModel], batch: EmotionBatch, past: dict[str, Tensor] | None
) -> tuple[list[tuple[Tensor, tuple[Tensor, ...]]], dict[str, Tensor]]:
    """Hidden states and attentions of each child's `encode_on`, and what to remember, under the child's number."""
    encoded, remembered = [], {}
    for index, child in enumerate(children):
        states, attentions, after = child.encode_on(batch, of_part(past, str(index)))
        encoded.append((states, attentions))
        remembered |= {f"{index}.{name}": value for name, value in after.items()}
    return encoded, remembered


def check_labels(config: EmotionConfig, *parts: EmotionPreTrainedModel) -> None:
    """Raise ConfigError where the parts that give the logits have another number of labels than the whole.

    A configuration that is changed when it is loaded is not checked as a new one is.
    """
    for part in parts:
        if part.config.num_labels != config.num_labels:
            expected = f"{part.config.num_labels} names, as many as the {part.config.model_type} within has"
            raise ConfigError("id2label", expected, config.num_labels)
