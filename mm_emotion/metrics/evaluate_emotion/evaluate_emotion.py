"""The metrics of `mm_emotion.metrics` as one `evaluate` module: the configuration name chooses the metric."""

import datasets
import evaluate
import numpy as np

from mm_emotion import metrics

CLASSIFICATION = (
    "accuracy",
    "class_f1",
    "class_recall",
    "confusion_matrix",
    "macro_f1",
    "unweighted_accuracy",
    "weighted_f1",
)
REGRESSION = (
    "balanced_binary_accuracy",
    "binary_accuracy",
    "concordance_correlation",
    "four_class_accuracy",
    "mean_absolute_error",
    "pearson",
)
DESCRIPTION = "Metrics of emotion recognition: label ids for classification, one affect dimension for regression."
INPUTS = """
Args:
    predictions: label ids (classification) or values (regression), one an utterance.
    references: the true ones; -100 (classification) or NaN (regression) does not count.
    Further arguments, such as `num_classes`, `mask`, `sample_weight` or `groups`, are those of the metric's function.
Returns:
    {"<metric name>": float or list}
"""


class EvaluateEmotion(evaluate.Metric):
    """One metric a configuration, `evaluate.load(mm_emotion.metrics.EVALUATE_MODULE, "weighted_f1")`."""

    def _info(self) -> evaluate.MetricInfo:
        if self.config_name not in (*CLASSIFICATION, *REGRESSION):
            raise ValueError(
                f"metric: expected one of {', '.join((*CLASSIFICATION, *REGRESSION))}, got {self.config_name}"
            )
        kind = datasets.Value("int64" if self.config_name in CLASSIFICATION else "float64")
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features({"predictions": kind, "references": kind}),
        )

    def _compute(self, *, predictions, references, **options) -> dict[str, float | list]:
        value = getattr(metrics, self.config_name)(np.asarray(predictions), np.asarray(references), **options)
        return {self.config_name: value.tolist() if isinstance(value, np.ndarray) else value}
