"""The one file of code beside a published checkpoint, so that `trust_remote_code=True` does without an import.

The file holds no model: it imports this package, which registers all of them. With the package imported before, the
Auto classes never look at it.
"""

import json
from pathlib import Path

from mm_emotion.errors import CheckpointError
from mm_emotion.models import MODELS

MODULE = "modeling_mm_emotion"
CODE = '''"""Loads the classes of the package mm_emotion, which this checkpoint needs."""

try:
    from mm_emotion.features.extractor import EmotionFeatureExtractor
    from mm_emotion.features.processor import EmotionProcessor
    from mm_emotion.features.vocabulary import EmotionTokenizer
    from mm_emotion.models import *
except ImportError as error:
    if error.name is None or error.name.split(".")[0] != "mm_emotion":
        raise
    raise ImportError("this checkpoint needs the package mm_emotion, which is not installed") from error
'''
_FAMILIES = {config.model_type: (config, model) for config, model in MODELS}


def add_remote_code(folder: Path) -> None:
    """Write the file and point config, processor and tokenizer of a saved system at it; it must be a private copy."""
    folder = Path(folder)
    (folder / f"{MODULE}.py").write_text(CODE, encoding="utf-8")
    kind = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("model_type")
    if kind not in _FAMILIES:
        raise CheckpointError(f"config.json of {folder}", f"model_type of {', '.join(_FAMILIES)}", repr(kind))
    config, model = _FAMILIES[kind]
    _point(folder / "config.json", {"AutoConfig": config.__name__, "AutoModel": model.__name__})
    _point(folder / "processor_config.json", {"AutoProcessor": "EmotionProcessor"})
    _point(folder / "tokenizer_config.json", {"AutoTokenizer": "EmotionTokenizer"})


def _point(path: Path, classes: dict[str, str]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    data["auto_map"] = {
        auto: [f"{MODULE}.{name}", None] if auto == "AutoTokenizer" else f"{MODULE}.{name}"
        for auto, name in classes.items()
    }
    path.write_text(json.dumps(data, indent=2, sort_keys=True) + "\n", encoding="utf-8")
