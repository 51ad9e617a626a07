"""Choosing some values of a wide vector by the weights of a linear classifier, on training utterances alone."""

import numpy as np

from mm_emotion.errors import FeatureError, MissingExtraError

SELECTIONS = ("linear_svm", "logistic")
"""Classifiers with an L2 penalty: support vectors with squared hinge loss, or logistic regression."""


def select_values(table: np.ndarray, labels: np.ndarray, number: int, classifier: str = "linear_svm") -> np.ndarray:
    """Indices (number,) int64, rising, of the columns of `table` (N, D) with the largest weights.

    A column's weight is the absolute coefficient summed over the classes, after a fit to `labels` (N,) with C = 1 and
    a fixed seed. Errors: FeatureError for an unknown classifier, more values than columns or fewer than two classes,
    MissingExtraError without scikit-learn.
    """
    if classifier not in SELECTIONS:
        raise FeatureError("selection", f"one of {', '.join(SELECTIONS)}", repr(classifier))
    if not 1 <= number <= table.shape[1]:
        raise FeatureError("selected", f"1 to {table.shape[1]} values", number)
    if len(np.unique(labels)) < 2:
        raise FeatureError("labels", "at least two classes to select values by", len(np.unique(labels)))
    try:
        from sklearn.linear_model import LogisticRegression
        from sklearn.svm import LinearSVC
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "baselines") from error
    if classifier == "linear_svm":
        model = LinearSVC(C=1.0, dual="auto", random_state=0, max_iter=20_000)
    else:
        model = LogisticRegression(C=1.0, max_iter=5_000)
    weights = np.abs(model.fit(table, labels).coef_).sum(axis=0)  # (D,)
    chosen = np.argsort(-weights, kind="stable")[:number]
    return np.sort(chosen).astype(np.int64)
