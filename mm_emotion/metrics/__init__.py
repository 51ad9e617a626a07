"""Metrics as pure functions on numpy arrays, and their bootstrap intervals over dialogues.

`predictions` come first, `labels` second. `evaluate.load(EVALUATE_MODULE, "<metric name>")` offers them to `evaluate`.
"""

from pathlib import Path

from mm_emotion.metrics._bootstrap import bootstrap_interval, bootstrap_scores, paired_bootstrap, percentile_interval
from mm_emotion.metrics._classification import (
    accuracy,
    class_f1,
    class_recall,
    confusion_matrix,
    macro_f1,
    unweighted_accuracy,
    weighted_f1,
)
from mm_emotion.metrics._regression import (
    balanced_binary_accuracy,
    binary_accuracy,
    concordance_correlation,
    four_class_accuracy,
    mean_absolute_error,
    pearson,
    per_dimension,
)

EVALUATE_MODULE = str(Path(__file__).parent / "evaluate_emotion")
"""Folder of the `evaluate` module."""

__all__ = [
    "EVALUATE_MODULE",
    "accuracy",
    "balanced_binary_accuracy",
    "binary_accuracy",
    "bootstrap_interval",
    "bootstrap_scores",
    "class_f1",
    "class_recall",
    "concordance_correlation",
    "confusion_matrix",
    "four_class_accuracy",
    "macro_f1",
    "mean_absolute_error",
    "paired_bootstrap",
    "pearson",
    "per_dimension",
    "percentile_interval",
    "unweighted_accuracy",
    "weighted_f1",
]
