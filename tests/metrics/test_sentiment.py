"""Acc-2 in both printed forms and Acc-7, by hand."""

import numpy as np
import pytest

from mm_emotion.errors import BatchError
from mm_emotion.metrics.sentiment import sentiment_scores, seven_class_accuracy, two_class_accuracy

LABELS = np.array([-2.0, 0.0, 0.0, 1.0, 0.6])
PREDICTIONS = np.array([-0.1, 0.2, -0.2, 0.0, -1.0])


def test_zeros_are_positive_or_left_out():
    assert two_class_accuracy(PREDICTIONS, LABELS) == 3 / 5
    assert two_class_accuracy(PREDICTIONS, LABELS, zeros="left_out") == 1 / 3
    assert np.isnan(two_class_accuracy(PREDICTIONS, np.zeros(5), zeros="left_out"))
    with pytest.raises(BatchError, match="zeros"):
        two_class_accuracy(PREDICTIONS, LABELS, zeros="dropped")


def test_seven_grades_round_to_even_and_stop_at_three():
    assert seven_class_accuracy([4.2, -3.6, 0.5, 1.5, 1.0], [3.0, -3.0, 0.0, 2.0, 2.0]) == 4 / 5


def test_all_at_once():
    scores = sentiment_scores(PREDICTIONS, LABELS)
    assert scores["mean_absolute_error"] == pytest.approx(np.abs(PREDICTIONS - LABELS).mean())
    assert scores["pearson"] == pytest.approx(np.corrcoef(PREDICTIONS, LABELS)[0, 1])
    assert scores["two_class_accuracy_without_zeros"] == 1 / 3
    assert np.isnan(sentiment_scores(np.zeros(5), LABELS)["pearson"])
