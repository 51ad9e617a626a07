"""A linear classifier or regression on utterance vectors, filled from a fit: ridge, logistic or support vectors.

z = (x - mean) / scale, 0 where a modality is missing
logits = W z + b

The fit is scikit-learn's; weights and standardisation live in the checkpoint, so that prediction needs no scikit-learn.
Logits of a logistic regression are log odds; those of ridge and support vectors are decision values, of which only the
order counts.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from mm_emotion.errors import FeatureError, MissingExtraError
from mm_emotion.layers.fusion import concatenate
from mm_emotion.models.linear.configuration_linear import LinearConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.schema import IGNORE_INDEX, MODALITIES

NEVER = -1.0e4
"""The logit of a class that no training utterance has."""


class LinearForEmotionRecognition(EmotionPreTrainedModel):
    """Vectors (B, U, D) of one or more modalities; hidden states are the standardised vectors side by side."""

    config_class = LinearConfig

    def __init__(self, config: LinearConfig):
        super().__init__(config)
        self.register_buffer("mean", torch.zeros(config.input_size))
        self.register_buffer("scale", torch.ones(config.input_size))
        self.classifier = nn.Linear(config.input_size, config.num_labels)
        self.post_init()

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        config = self.config
        x = concatenate({name: getattr(batch, name) for name in config.modalities})  # (B, U, D)
        present = [
            batch.modality_mask[..., MODALITIES.index(name), None].expand(*x.shape[:2], config.modality_dims[name])
            for name in config.modalities
        ]
        return ((x - self.mean) / self.scale).masked_fill(~torch.cat(present, -1), 0), ()

    @torch.no_grad()
    def fit(self, vectors: np.ndarray, labels: np.ndarray, complexity: float) -> "LinearForEmotionRecognition":
        """Fill weights and standardisation from vectors (N, D), NaN where a modality is missing, and labels.

        `labels` are (N,) ids, with `IGNORE_INDEX` where there is none, or (N, K) values with NaN.

        Raises:
            FeatureError: no row has a label, or the width differs. MissingExtraError: scikit-learn is not installed.
        """
        config = self.config
        if vectors.ndim != 2 or vectors.shape[1] != config.input_size:
            raise FeatureError("vectors", f"shape (N, {config.input_size})", vectors.shape)
        mean, scale = _moments(vectors) if config.standardize else (np.zeros(1), np.ones(1))
        inputs = np.nan_to_num((vectors - mean) / scale)
        if config.problem_type == "regression":
            targets = labels.T
            known = ~np.isnan(targets)
            fitted = [_fit_regression(config, inputs, *pair, complexity) for pair in zip(targets, known, strict=True)]
            weight, bias = (np.stack(part) for part in zip(*fitted, strict=True))
        else:
            weight, bias = _fit_classes(config, inputs, labels, complexity)
        for tensor, values in (
            (self.mean, mean), (self.scale, scale), (self.classifier.weight, weight), (self.classifier.bias, bias),
        ):  # fmt: skip
            tensor.copy_(torch.as_tensor(np.broadcast_to(values, tensor.shape).copy()))
        config.complexity = float(complexity)
        return self


def _moments(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation (D,) of each column where it is not missing; a column that never varies keeps deviation 1."""
    known = ~np.isnan(vectors)
    count = np.maximum(known.sum(0), 1)
    mean = np.where(known, vectors, 0).sum(0) / count
    scale = np.sqrt((np.where(known, vectors - mean, 0) ** 2).sum(0) / count)
    return mean, np.where(scale > 1e-12 * np.abs(mean), scale, 1.0)


def _estimators() -> dict[str, Callable]:
    try:
        from sklearn import linear_model, svm
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "baselines") from error
    return {
        "ridge": linear_model.RidgeClassifier,
        "logistic": linear_model.LogisticRegression,
        "svm": svm.LinearSVC,
        "ridge regression": linear_model.Ridge,
        "svm regression": svm.LinearSVR,
    }


def _settings(config: LinearConfig, complexity: float) -> dict[str, object]:
    # scikit-learn writes a ridge's penalty as alpha = 1 / (2 C).
    if config.estimator == "ridge":
        return {"alpha": 1 / (2 * complexity)}
    return {"C": complexity, "max_iter": 10_000, "random_state": 0}


def _fit_regression(
    config: LinearConfig, inputs: np.ndarray, targets: np.ndarray, known: np.ndarray, complexity: float
) -> tuple[np.ndarray, float]:
    """Weight (D,) and bias for one dimension."""
    if not known.any():
        raise FeatureError("labels", "at least one value of each dimension", "none")
    settings = _settings(config, complexity)
    if config.estimator == "svm":
        settings["epsilon"] = config.epsilon
    estimator = _estimators()[f"{config.estimator} regression"](**settings)
    estimator.fit(inputs[known], targets[known])
    return estimator.coef_, float(np.squeeze(estimator.intercept_))


def _fit_classes(
    config: LinearConfig, inputs: np.ndarray, labels: np.ndarray, complexity: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weight (K, D) and bias (K,); a class without an utterance is never predicted."""
    known = labels != IGNORE_INDEX
    seen = np.unique(labels[known])
    weight, bias = np.zeros((config.num_labels, inputs.shape[1])), np.full(config.num_labels, NEVER)
    if len(seen) == 0:
        raise FeatureError("labels", "at least one labelled utterance", "none")
    if len(seen) == 1:
        bias[seen] = 0
        return weight, bias
    row_weights = None if config.class_weights is None else np.asarray(config.class_weights)[labels[known]]
    estimator = _estimators()[config.estimator](**_settings(config, complexity))
    estimator.fit(inputs[known], labels[known], sample_weight=row_weights)
    # Of two classes scikit-learn keeps the weights of the second alone.
    seen = seen[1:] if len(seen) == 2 else seen
    weight[seen], bias[seen] = estimator.coef_, estimator.intercept_
    if len(seen) == 1:
        bias[np.unique(labels[known])[0]] = 0
    return weight, bias
