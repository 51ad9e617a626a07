"""The two masked losses written out literally, utterance by utterance, in batch-major order."""

import torch
from torch import Tensor

from .transcriptions import softmax


def negative_log_likelihood(
    logits: list[Tensor], labels: list[list[int]], valid: list[list[bool]], class_weights: Tensor | None = None
) -> Tensor:
    """sum_i w_{y_i} m_i (-log p_{y_i}) / sum_i w_{y_i} m_i, dialogue after dialogue (batch-major)."""
    total = norm = torch.zeros((), dtype=torch.float64)
    for rows, targets, mask in zip(logits, labels, valid, strict=True):
        for row, target, present in zip(rows, targets, mask, strict=True):
            if present:
                weight = 1.0 if class_weights is None else class_weights[target]
                total = total - weight * torch.log(softmax(list(row))[target])
                norm = norm + weight
    return total / norm


def mean_squared_error(predictions: list[Tensor], targets: list[Tensor], valid: list[list[bool]]) -> Tensor:
    """sum((m y' - y)^2) / sum(m) with y = 0 on padding; one value per utterance."""
    total = norm = torch.zeros((), dtype=torch.float64)
    for rows, values, mask in zip(predictions, targets, valid, strict=True):
        for prediction, target, present in zip(rows, values, mask, strict=True):
            total = total + (present * prediction - (target if present else 0.0)) ** 2
            norm = norm + present
    return total / norm
