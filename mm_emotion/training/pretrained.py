"""Pretrained encoders in a training: where their weights come from, how fast each layer learns, what keeps still."""

import copy
import hashlib
from typing import Any

import numpy as np
import torch
from datasets import Dataset, Features, List, Value
from transformers import AutoConfig

from mm_emotion.errors import CheckpointError, RecipeError
from mm_emotion.models.pretrained_encoder.configuration_pretrained_encoder import PretrainedEncoderConfig
from mm_emotion.models.pretrained_encoder.modeling_pretrained_encoder import PretrainedEncoderForEmotionRecognition
from mm_emotion.training.recipe import Recipe, Training

KIND = PretrainedEncoderConfig.model_type


def with_backbones(settings: dict[str, Any], pretrained: dict[str, str]) -> dict[str, Any]:
    """Model settings in which each pretrained encoder without a `backbone` has that of its modality's pretrained model.

    Raises:
        RecipeError: the recipe names none.
        CheckpointError: there is none at that place.
    """
    settings = copy.deepcopy(settings)
    for part in _parts(settings):
        if part.get("model_type") == KIND and not part.get("backbone"):
            modality = part.get("modality", "text")
            if modality not in pretrained:
                raise RecipeError(f"pretrained.{modality}", "a folder or Hub id, or model.backbone", "nothing")
            part["backbone"] = _config_at(pretrained[modality])
    return settings


def _parts(settings: Any) -> list[dict[str, Any]]:
    """Every mapping in `settings`, itself first."""
    if isinstance(settings, dict):
        return [settings, *(part for value in settings.values() for part in _parts(value))]
    return [part for value in settings for part in _parts(value)] if isinstance(settings, list) else []


def _config_at(place: str) -> dict[str, Any]:
    try:
        return AutoConfig.from_pretrained(place, trust_remote_code=False).to_dict()
    except (OSError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"pretrained encoder {place!r}", "a model of transformers", " ".join(str(error).split())
        ) from error


def encoders_of(model: torch.nn.Module) -> list[PretrainedEncoderForEmotionRecognition]:
    """The pretrained encoders of a model, itself included."""
    return [part for part in model.modules() if isinstance(part, PretrainedEncoderForEmotionRecognition)]


def start_encoders(model: torch.nn.Module, recipe: Recipe) -> None:
    """Load the weights that the recipe names into the backbones of an untrained model; others stay as drawn.

    Raises:
        RecipeError: no encoder of the model is of that modality, there is none for the rates that the recipe gives, one
            has no layers for them, or earlier utterances are wanted of single ones.
        CheckpointError: the weights are not there, or do not fit.
    """
    encoders = encoders_of(model)
    for modality in recipe.pretrained:
        if modality not in [encoder.config.modality for encoder in encoders] and not recipe.encoders:
            raise RecipeError(f"pretrained.{modality}", f"a {KIND} of {modality} in the model", "none")
    for field in ("backbone_learning_rate", "layer_decay"):
        if not encoders and getattr(recipe.training, field) is not None:
            raise RecipeError(f"training.{field}", f"a {KIND} in the model", "none")
    for encoder in encoders:
        if recipe.training.layer_decay is not None and encoder.config.freeze != "all" and not encoder.blocks:
            expected = f"a backbone with layers of their own, not {encoder.config.backbone['model_type']}"
            raise RecipeError("training.layer_decay", expected, recipe.training.layer_decay)
        if encoder.config.previous_turns and recipe.training.unit != "dialogue":
            raise RecipeError("training.unit", "dialogue: an encoder reads previous turns", recipe.training.unit)
        if encoder.config.modality in recipe.pretrained:
            encoder.start_from(recipe.pretrained[encoder.config.modality])


def features_of(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """The recipe's features, with the tokenizer of its own pretrained text encoder for `input_ids`."""
    own = [part.get("modality", "text") for part in _parts(recipe.model) if part.get("model_type") == KIND]
    if "text" not in recipe.pretrained or "text" not in own:
        return recipe.features
    return recipe.features | {
        "input_ids": {"tokenizer": recipe.pretrained["text"], **recipe.features.get("input_ids", {})}
    }


def parameter_groups(model: torch.nn.Module, training: Training) -> list[dict[str, Any]]:
    """What learns, by its rate: backbones at `backbone_learning_rate`, each layer `layer_decay` times the one above it.

    What stands below a backbone's layers (embeddings, convolutions) is one layer more; the rest of the model learns at
    `learning_rate`.
    """
    rates = dict.fromkeys(map(id, model.parameters()), training.learning_rate)
    for encoder in encoders_of(model):
        top = training.backbone_learning_rate or training.learning_rate
        decay, blocks = training.layer_decay or 1.0, encoder.blocks
        rates |= {id(value): top * decay ** len(blocks) for value in encoder.backbone.parameters()}
        for height, block in enumerate(reversed(blocks)):
            rates |= {id(value): top * decay**height for value in block.parameters()}
    groups: dict[float, list[torch.nn.Parameter]] = {}
    for value in model.parameters():
        if value.requires_grad:
            groups.setdefault(rates[id(value)], []).append(value)
    return [{"params": values, "lr": rate} for rate, values in groups.items()]


def kept_vectors(rows: Dataset, model: torch.nn.Module, encode) -> np.ndarray:
    """Vectors (N, D) that `encode()` makes of the rows with a still model, kept beside the rows for the next run."""
    digest = hashlib.sha256(f"{rows._fingerprint}{model.config.to_json_string()}".encode())
    for name, value in sorted(model.backbone.state_dict().items()):
        digest.update(name.encode() + value.cpu().contiguous().view(torch.uint8).numpy().tobytes())
    made: list[np.ndarray] = []

    def take(_: dict, indices: list[int]) -> dict[str, np.ndarray]:
        if not made:
            made.append(encode())
        return {"vector": made[0][indices]}

    kept = rows.select_columns("utterance_id").map(
        take,
        with_indices=True,
        batched=True,
        remove_columns="utterance_id",
        features=Features({"vector": List(Value("float32"))}),
        desc="encode",
        new_fingerprint=digest.hexdigest()[:32],
    )
    return np.stack(kept.with_format("numpy")["vector"]).astype(np.float32)
