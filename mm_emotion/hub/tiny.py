"""Tiny random checkpoints of every family, each with a processor, for the tests of other code."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModel

from mm_emotion.atomic import replace_folder
from mm_emotion.errors import CheckpointError, nearest
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.models import MODELS
from mm_emotion.models.configuration_emotion import EmotionConfig

LABELS = ("angry", "happy", "neutral", "sad")
SENTENCES = (
    "we are going to the lake and it will be a lovely day",
    "I can not wait to see you all there again",
    "leave me alone, this is not what you said to me",
    "it is what it is and there is nothing to say",
    "what a day, I am so glad that you are here",
    "no, I do not want to talk about it now",
)
_SIZE = 8
_WIDTHS = {"text": _SIZE, "audio": 66}
_WORDS = len({word for sentence in SENTENCES for word in sentence.replace(",", "").lower().split()}) + 2
_TEXT = {"model_type": "text_cnn", "vocab_size": _WORDS, "embedding_size": 8, "num_filters": 4, "filter_widths": [1, 2]}
_TEXT |= {"hidden_size": 8, "num_labels": len(LABELS)}
_SOUND = {"model_type": "audio_dense", "modality_dims": {"audio": 66}, "hidden_size": 8, "num_labels": len(LABELS)}
_BACKBONE = {"model_type": "bert", "vocab_size": _WORDS, "hidden_size": 8, "num_hidden_layers": 1}
_BACKBONE |= {"num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 64}
_DENSE = {"kind": "dense", "units": 8, "activation": "tanh"}
_DIALOGUE = {"model_type": "bc_lstm", "recurrent_size": 8, "hidden_size": 8, "num_labels": len(LABELS)}
_OWN: dict[str, dict] = {
    "text_cnn": {**_TEXT, "modality_dims": {}},
    "text_te": {"modality_dims": {}, "vocab_size": _WORDS, "embedding_size": 8, "key_size": 4},
    "audio_dense": _SOUND,
    "video_cnn3d": {"modality_dims": {}, "frames": 6, "height": 8, "width": 8, "kernel_size": 2, "pool_size": 2}
    | {"num_filters": 4},
    "sequence_stack": {
        "modality_dims": {"audio": 34},
        "hidden_size": None,
        "stages": [{"kind": "lstm", "units": 8, "output": "steps"}, {"kind": "pool", "reduce": "mean"}, _DENSE],
    },
    "pretrained_encoder": {"modality_dims": {}, "hidden_size": None, "backbone": _BACKBONE},
    "affect_dnn": {"layers": {name: [8, 8] for name in _WIDTHS}, "problem_type": "regression"},
    "hierarchical": {
        "modality_dims": None,
        "encoders": [_TEXT],
        "streams": ["text"],
        "dialogue": {**_DIALOGUE, "modality_dims": {"text": 8, "audio": 66}},
    },
    "early_fusion": {"hidden_size": None, "stack": {**_DIALOGUE, "modality_dims": {"text": sum(_WIDTHS.values())}}},
    "joint": {"modality_dims": None, "children": [_TEXT, _SOUND]},
    "late_fusion": {"modality_dims": None, "children": [_TEXT, _SOUND]},
    "linear": {"hidden_size": None},
    "mfn": {"modality_dims": {"text": _SIZE, "audio": 34}, "recurrent_sizes": {"text": 8, "audio": 8}},
    "tfn": {"text_input": "vector", "subnet_sizes": {"text": 8, "audio": 8}},
}
"""Model type -> what its tiny configuration has beside, or in place of, small sizes and vectors of words and sound."""


def tiny_checkpoint(model_type: str, folder: str | Path, seed: int = 0) -> Path:
    """Write a random system of a family, under 1 MB, as a folder that `load_system` and the Auto classes open.

    Its processor makes what it can of the model's inputs from words and sound. Equal seeds give equal weights. Raises
    CheckpointError for an unknown family, NotADirectoryError where `folder` is a file.
    """
    families = {config.model_type: config for config, _ in MODELS}
    if model_type not in families:
        hint = nearest(model_type, families)
        raise CheckpointError("model_type", f"one of {', '.join(families)}", repr(model_type), hint)
    config = tiny_configuration(families[model_type])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModel.from_config(config)
    processor = EmotionProcessor.fit(_rows(), _features(model))
    with replace_folder(folder) as temporary:
        model.save_pretrained(temporary)
        processor.save_pretrained(temporary)
    return Path(folder)


def tiny_configuration(family: type[EmotionConfig]) -> EmotionConfig:
    """A small configuration of a family: every size at most 8, of four labels, on vectors of words and sound."""
    options = {"modality_dims": dict(_WIDTHS)}
    for name, default in _defaults(family).items():
        if name.endswith(("_size", "_filters")) and type(default) is int and default > _SIZE:
            options[name] = _SIZE
    options |= {"id2label": dict(enumerate(LABELS))} | _OWN.get(family.model_type, {})
    options.pop("num_labels", None)
    options.pop("model_type", None)
    return family(**{key: value for key, value in options.items() if value is not None})


def _defaults(family: type[EmotionConfig]) -> dict[str, object]:
    return {name: field.default for name, field in family.__dataclass_fields__.items()}


def _rows() -> list[dict]:
    generator = np.random.default_rng(0)
    return [{"text": text, "audio": (generator.normal(size=8000).astype(np.float32), 16000)} for text in SENTENCES]


def _features(model: torch.nn.Module) -> dict[str, dict]:
    """Columns that a processor can make of words, sound and picture in the shapes that the model reads."""
    half = {"word_dimensions": _SIZE // 2, "character_dimensions": _SIZE // 2}
    made: dict[str, dict] = {}
    for key, axes in model.input_shapes().items():
        if key == "input_ids":
            made[key] = {}
        elif (key, axes) == ("text", (_SIZE,)):
            made[key] = {"feature": "latent_semantic", **half, "word_minimum": 1, "character_minimum": 1}
        elif (key, axes) == ("audio", (66,)):
            made[key] = {"feature": "functionals"}
        elif key == "audio" and axes[-1] == 34:
            made[key] = {"feature": "short_term"}
        elif key == "visual" and len(axes) == 4:
            made[key] = {"feature": "video_clips", "frames": axes[1], "height": axes[2], "width": axes[3]}
    return made
