"""The model families as plain data: what each is, and the fields of its configuration."""

import inspect
from dataclasses import fields
from typing import Any

from mm_emotion.models import MODELS
from mm_emotion.models.configuration_emotion import EmotionConfig, describe_type


def families() -> list[dict[str, Any]]:
    """Each family of MODELS: model_type, class names, first line of its module, inputs, and its configuration's fields.

    `fields` maps a name to its type and default, which is null where it follows from other fields.
    """
    return [_family(config, model) for config, model in MODELS]


def _family(config: type[EmotionConfig], model: type) -> dict[str, Any]:
    module = inspect.getmodule(model)
    return {
        "model_type": config.model_type,
        "config": config.__name__,
        "model": model.__name__,
        "summary": inspect.getdoc(module).splitlines()[0],
        "equations": inspect.getdoc(module),
        "inputs": inspect.getdoc(model),
        "configuration": inspect.getdoc(config),
        "fields": config_fields(config),
    }


def config_fields(config: type[EmotionConfig]) -> dict[str, dict[str, Any]]:
    """Fields that the package declares -> type and default."""
    hints = config.own_hints()
    return {
        each.name: {"type": describe_type(hints[each.name]), "default": each.default}
        for each in fields(config)
        if each.name in hints
    }
