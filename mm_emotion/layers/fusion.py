"""Early fusion: the modalities side by side, or multiplied with each other."""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from mm_emotion.schema import MODALITIES


def concatenate(vectors: Mapping[str, Tensor]) -> Tensor:
    """One vector (B, U, sum of D) from one per modality (B, U, D), in `schema.MODALITIES` order."""
    return torch.cat([vectors[modality] for modality in MODALITIES if modality in vectors], dim=-1)


def outer_product(xs: list[Tensor]) -> Tensor:
    """The flat outer product (..., prod of (D + 1)) of vectors (..., D) that are each led by a 1, the last fastest."""
    product, *others = [F.pad(x, (1, 0), value=1.0) for x in xs]
    for other in others:
        product = (product[..., None] * other[..., None, :]).flatten(-2)
    return product
