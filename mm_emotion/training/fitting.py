"""What is found without epochs: the complexity of a linear model, the weights of a late fusion."""

from itertools import product

import numpy as np
import torch

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import DialogueDataset
from mm_emotion.errors import FeatureError
from mm_emotion.metrics.importance import LinearFusion, fit_linear_fusion
from mm_emotion.models.batch import EmotionBatch
from mm_emotion.models.late_fusion.modeling_late_fusion import LateFusionForEmotionRecognition
from mm_emotion.models.linear.modeling_linear import LinearForEmotionRecognition
from mm_emotion.training.evaluation import Prediction, monitored_value, predict

WEIGHT_STEPS = 10  # a grid of 0.1, as published
_UNITS = 32


def choose_complexity(
    model: LinearForEmotionRecognition,
    train: DialogueDataset,
    selection: DialogueDataset,
    collator: EmotionCollator,
    monitor: str,
) -> None:
    """Fill a linear model from `train`, with the complexity that does best on `selection`; of equals the first."""
    vectors, labels = _vectors(model, train), np.asarray(train.labels)
    best, kept = None, None
    for complexity in model.config.complexities:
        model.fit(vectors, labels, complexity)
        value, better = monitored_value(monitor, predict(model, selection, collator), model)
        if best is None or better(value, best):
            best = value
            kept = complexity, {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.config.complexity, state = kept
    model.load_state_dict(state)


def choose_weights(
    model: LateFusionForEmotionRecognition, selection: DialogueDataset, collator: EmotionCollator, monitor: str
) -> None:
    """Write into the configuration the shares on a grid that do best on `selection`; of equals the most even ones."""
    outputs, present = expert_outputs(model, selection, collator)  # (N, M, K), (N, M)
    labels = np.asarray(selection.labels)
    best, kept = None, None
    for shares in weight_grid(outputs.shape[1], WEIGHT_STEPS):
        model.config.weights = shares
        fused = model.fuse(outputs, present).numpy()
        prediction = Prediction(model.classify(torch.from_numpy(fused)).numpy(), fused, labels, np.empty(0))
        value, better = monitored_value(monitor, prediction, model)
        if best is None or better(value, best):
            best, kept = value, shares
    model.config.weights = kept


def choose_linear(
    model: LateFusionForEmotionRecognition, selection: DialogueDataset, collator: EmotionCollator
) -> LinearFusion:
    """Write into the configuration the linear regression of the labels of `selection` on its children's outputs."""
    outputs, _ = expert_outputs(model, selection, collator)  # (N, M, 1)
    fusion = fit_linear_fusion(outputs[..., 0].numpy(), np.asarray(selection.labels)[:, 0])
    model.config.weights, model.config.intercept = fusion.coefficients.tolist(), fusion.intercept
    return fusion


def weight_grid(count: int, steps: int) -> list[list[float]]:
    """All `count` shares in multiples of 1 / steps that sum to 1, the most even ones first."""
    cuts = (cut for cut in product(range(steps + 1), repeat=count - 1) if sum(cut) <= steps)
    whole = sorted(((*cut, steps - sum(cut)) for cut in cuts), key=lambda parts: sum(part * part for part in parts))
    return [[part / steps for part in parts] for parts in whole]


def _vectors(model: LinearForEmotionRecognition, dataset: DialogueDataset) -> np.ndarray:
    """What the model reads, side by side (N, D); NaN where a modality is missing."""
    config = model.config
    rows = [row for unit in range(len(dataset)) for row in dataset[unit]]
    table = np.full((len(rows), config.input_size), np.nan)
    start = 0
    for name in config.modalities:
        width = config.modality_dims[name]
        for index, row in enumerate(rows):
            if row.get(name) is None:
                continue
            values = np.asarray(row[name])
            if values.shape != (width,):
                raise FeatureError(f"{name} of utterance {row['utterance_id']!r}", f"{width} values", values.shape)
            table[index, start : start + width] = values
        start += width
    return table


@torch.no_grad()
def expert_outputs(
    model: LateFusionForEmotionRecognition, dataset: DialogueDataset, collator: EmotionCollator
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each expert says of each row (N, M, K), and whether it has a say (N, M), on the CPU."""
    device = next(model.parameters()).device
    outputs, present = [], []
    for start in range(0, len(dataset), _UNITS):
        batch = collator([dataset[unit] for unit in range(start, min(start + _UNITS, len(dataset)))])
        batch.pop("labels", None)
        gathered = model.gather(EmotionBatch(**{key: value.to(device) for key, value in batch.items()}))
        said, here = model.expert_outputs(gathered)  # (B, U, M, K), (B, U, M)
        outputs.append(said[gathered.utterance_mask].float().cpu())
        present.append(here[gathered.utterance_mask].cpu())
    return torch.cat(outputs), torch.cat(present)
