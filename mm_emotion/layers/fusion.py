"""Early fusion: the modalities side by side."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mm_emotion.schema import MODALITIES


def concatenate(vectors: Mapping[str, Tensor]) -> Tensor:
    """One vector per utterance from one per modality, in `schema.MODALITIES` order: (B, U, D) each -> (B, U, sum of D)."""
    return torch.cat([vectors[modality] for modality in MODALITIES if modality in vectors], dim=-1)
