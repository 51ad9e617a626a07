"""A saved system, model and processor, loaded and found to fit together."""

import json
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError
from transformers import AutoProcessor, PreTrainedConfig
from transformers.utils import logging

from mm_emotion.errors import CheckpointError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.features.vocabulary import EmotionTokenizer
from mm_emotion.models import MODELS
from mm_emotion.models.modeling_emotion import EmotionPreTrainedModel

SYSTEM_FILES = ("config.json", "processor_config.json", "tokenizer_config.json", "vocab.json")
"""The JSON files of every saved system."""


def load_system(folder_or_id: str | Path) -> tuple[EmotionPreTrainedModel, EmotionProcessor]:
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
    if processor.columns:  # a model of a prepared table of vectors has a processor that makes none
        check_processor(model, processor, where)
    return model.eval(), processor


def system_folder(folder_or_id: str | Path) -> Path:
    """The folder of a saved system; a Hub id, owner/name, is fetched whole into the cache.

    Raises CheckpointError when the Hub has no such model or cannot be reached.
    """
    folder = Path(folder_or_id)
    if folder.is_dir() or folder.is_absolute() or str(folder_or_id).count("/") != 1:
        return folder
    try:
        return Path(snapshot_download(str(folder_or_id)))
    except (OSError, ValueError, HfHubHTTPError) as error:
        given = " ".join(str(error).split())
        raise CheckpointError(f"model {str(folder_or_id)!r}", "a folder or a model of the Hub", given) from error


def check_processor(model: EmotionPreTrainedModel, processor: EmotionProcessor, where: str = "model") -> None:
    """Refuse a processor that makes nothing of what the model reads, or that makes it of another width.

    Raises CheckpointError, which begins with `where` and names the column.
    """
    wanted, made = model.input_shapes(), processor.widths
    shared = [column for column in wanted if column in made]
    if not shared:
        expected = f"a processor that makes {' or '.join(wanted)}"
        raise CheckpointError(where, expected, f"one that makes {' and '.join(made) or 'nothing'}")
    for column in shared:
        if made[column] is not None and wanted[column][-1] not in (None, made[column]):
            given = f"{made[column]} by the processor"
            raise CheckpointError(f"{where}, {column}", f"{wanted[column][-1]} values", given)


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
