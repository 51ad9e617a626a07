"""Files of a run: weights and training states as safetensors, written whole or not at all."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from mm_emotion.atomic import replace_file
from mm_emotion.errors import CheckpointError


def write_tensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str]) -> None:
    """Write tensors and text to a safetensors file, by rename."""
    contiguous = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    with replace_file(path) as temporary:
        save_file(contiguous, temporary, metadata={"format": "pt", **metadata})


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Tensors and text of a safetensors file; raises CheckpointError when it is missing or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"tensors {path}", "a complete safetensors file", str(error)) from error


def load_best(model: torch.nn.Module, folder: Path, name: str) -> None:
    """Load the weights of the epoch that the selection set `name` chose."""
    path = folder / f"best_{name}.safetensors"
    tensors, _ = read_tensors(path)
    model.load_state_dict(tensors)
