"""Early fusion: the modalities side by side."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mm_emotion.schema import MODALITIES


def concatenate(vectors: Mapping[str, Tensor]) -> Tensor:
    """One vector (B, U, sum of D) from one per modality (B, U, D), in `schema.MODALITIES` order."""
    return torch.cat([vectors[modality] for modality in MODALITIES if modality in vectors], dim=-1)
