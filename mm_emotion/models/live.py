"""Where running dialogues stand between two utterances: what `EmotionPreTrainedModel.step` takes and gives back."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from mm_emotion.atomic import replace_file
from mm_emotion.errors import CheckpointError


@dataclass(frozen=True)
class DialogueState:
    """What a model has to remember of B dialogues, without gradient; each tensor is (B, ...).

    `model` tells models of different shape apart, not different weights of the same shape.
    """

    model: str
    tensors: dict[str, Tensor]

    def to(self, device: torch.device | str) -> "DialogueState":
        """The same on another device."""
        return DialogueState(self.model, {name: tensor.to(device) for name, tensor in self.tensors.items()})

    def select(self, dialogues: Sequence[int] | Tensor) -> "DialogueState":
        """Some of the dialogues, in the order given: the others have ended, or say nothing now."""
        # As one tensor: a list of tensors would be read as one index for each axis.
        index = torch.as_tensor(dialogues) if len(dialogues) else torch.zeros(0, dtype=torch.int64)
        return DialogueState(
            self.model, {name: tensor[index.to(tensor.device)] for name, tensor in self.tensors.items()}
        )

    def join(self, *others: "DialogueState") -> "DialogueState":
        """These dialogues and those of the other states, one behind the other.

        Raises:
            CheckpointError: a state is of another model.
        """
        for other in others:
            if other.model != self.model:
                raise CheckpointError("state", f"one of {self.model}", other.model)
        states = [self, *others]
        return DialogueState(
            self.model, {name: _stack([state.tensors[name] for state in states]) for name in self.tensors}
        )

    def save(self, file: Path | str) -> None:
        """Write a safetensors file."""
        tensors = {name: tensor.contiguous() for name, tensor in self.tensors.items()}
        with replace_file(Path(file)) as temporary:
            save_file(tensors, temporary, metadata={"state": json.dumps(self.model)})

    @classmethod
    def load(cls, file: Path | str) -> "DialogueState":
        """Read what `save` wrote.

        Raises:
            CheckpointError: there is no such state in the file.
        """
        try:
            with safe_open(file, "pt") as opened:
                model = (opened.metadata() or {}).get("state")
                names = opened.keys()
                tensors = {name: opened.get_tensor(name) for name in names}
            model = None if model is None else json.loads(model)
        except (OSError, SafetensorError, json.JSONDecodeError) as error:
            raise CheckpointError(str(file), "the state of a dialogue", str(error)) from error
        if not isinstance(model, str):
            raise CheckpointError(str(file), "the state of a dialogue", "tensors of something else")
        return cls(model, tensors)


def _stack(parts: list[Tensor]) -> Tensor:
    """Joined along the first axis, after zeros behind what is shorter along another."""
    sizes = [max(part.shape[axis] for part in parts) for axis in range(1, parts[0].ndim)]
    padded = []
    for part in parts:
        missing = [(0, size - given) for size, given in zip(sizes, part.shape[1:], strict=True)]
        padded.append(F.pad(part, [amount for pair in reversed(missing) for amount in pair]))
    return torch.cat(padded)
