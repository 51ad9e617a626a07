"""Emotions of a user's own utterances: a saved system in, labels with scores out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import AutoModel, AutoProcessor
from transformers.utils import logging

from mm_emotion.errors import CheckpointError
from mm_emotion.features.processor import EmotionProcessor


@dataclass(frozen=True)
class UtteranceEmotion:
    """What a system says of one utterance: the label and the score of each class (or of each affect dimension)."""

    label: str
    score: float
    scores: dict[str, float]


def load_system(folder_or_id: str | Path) -> tuple[torch.nn.Module, EmotionProcessor]:
    """Model (in evaluation mode) and processor of a saved system.

    Raises CheckpointError when a local folder lacks either.
    """
    folder = Path(folder_or_id)
    if folder.is_dir():
        for name in ("config.json", "processor_config.json"):
            if not (folder / name).is_file():
                raise CheckpointError(f"model folder {folder}", f"a saved system with {name}", "no such file")
    elif folder.is_absolute() or str(folder_or_id).count("/") != 1:
        raise CheckpointError("model", "a folder or a Hub id owner/name", repr(str(folder_or_id)))
    return AutoModel.from_pretrained(folder_or_id).eval(), AutoProcessor.from_pretrained(folder_or_id)


def quiet_loading() -> None:
    """Turn off the loading bars of transformers: small checkpoints load in an instant."""
    logging.disable_progress_bar()


@torch.inference_mode()
def predict_dialogue(
    model: torch.nn.Module, processor: EmotionProcessor, utterances: Sequence[dict]
) -> list[UtteranceEmotion]:
    """The emotion of each utterance of one dialogue; an utterance holds any of `text`, `audio` and `speaker`."""
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
