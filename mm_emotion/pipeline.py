"""Emotions of a user's own utterances: a saved system in, labels with scores out."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoProcessor, PreTrainedConfig
from transformers.utils import logging

from mm_emotion.errors import CheckpointError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.features.vocabulary import EmotionTokenizer
from mm_emotion.models import MODELS

SYSTEM_FILES = ("config.json", "processor_config.json", "tokenizer_config.json", "vocab.json")
"""The JSON files of every saved system."""


@dataclass(frozen=True)
class UtteranceEmotion:
    """What a system says of one utterance: the label and the score of each class (or of each affect dimension)."""

    label: str
    score: float
    scores: dict[str, float]


def load_system(folder_or_id: str | Path) -> tuple[torch.nn.Module, EmotionProcessor]:
    """Model (in evaluation mode) and processor of a saved system.

    Raises CheckpointError, which names the folder or Hub id, when a part is missing, damaged or of another package, or
    when the Hub cannot be reached.
    """
    folder = Path(folder_or_id)
    if folder.is_dir():
        _check_files(folder)
    elif folder.is_absolute() or str(folder_or_id).count("/") != 1:
        raise CheckpointError("model", "a folder or a Hub id owner/name", repr(str(folder_or_id)))
    where = f"model {str(folder_or_id)!r}"
    try:
        kind = PreTrainedConfig.get_config_dict(folder_or_id)[0].get("model_type")
        families = {config.model_type: model for config, model in MODELS}
        if not isinstance(kind, str) or kind not in families:
            raise CheckpointError(where, f"model_type to be one of {', '.join(families)}", repr(kind))
        model = families[kind].from_pretrained(folder_or_id)
        processor = AutoProcessor.from_pretrained(folder_or_id, trust_remote_code=False)
    except CheckpointError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:  # what transformers makes of bad files
        raise CheckpointError(where, "an intact saved system", " ".join(str(error).split())) from error
    found = processor.tokenizer if isinstance(processor, EmotionProcessor) else processor
    if not isinstance(found, EmotionTokenizer):
        raise CheckpointError(where, "processor and tokenizer of this package", type(found).__name__)
    return model.eval(), processor


def _check_files(folder: Path) -> None:
    for name in SYSTEM_FILES:
        try:
            data = json.loads((folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise CheckpointError(f"model folder {folder}", f"a saved system with {name}", "no such file") from error
        except ValueError as error:
            raise CheckpointError(f"{name} of {folder}", "a JSON object", error) from error
        if not isinstance(data, dict):
            raise CheckpointError(f"{name} of {folder}", "a JSON object", type(data).__name__)


def quiet_loading() -> None:
    """Turn off the loading bars of transformers: small checkpoints load in an instant."""
    logging.disable_progress_bar()


@torch.inference_mode()
def predict_dialogue(
    model: torch.nn.Module, processor: EmotionProcessor, utterances: Sequence[dict]
) -> list[UtteranceEmotion]:
    """The emotion of each utterance of one dialogue; each holds any of `text`, `audio`, `video`, `speaker`."""
    batch = processor([list(utterances)])
    outputs = model(**batch).logits[0, : len(utterances)].float()  # (U, K)
    regression = model.config.problem_type == "regression"
    values = outputs if regression else outputs.softmax(dim=-1)
    names = [model.config.id2label[index] for index in range(model.config.num_labels)]
    emotions = []
    for row in values.tolist():
        best = max(range(len(row)), key=row.__getitem__)
        emotions.append(UtteranceEmotion(names[best], row[best], dict(zip(names, row, strict=True))))
    return emotions
