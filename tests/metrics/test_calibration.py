"""Calibration: confidence that means what it says has error 0, and a temperature undoes a scale."""

import numpy as np
import pytest
from scipy.special import softmax

from mm_emotion.errors import BatchError
from mm_emotion.metrics.calibration import expected_calibration_error, fit_temperature, reliability


@pytest.fixture(scope="module")
def calibrated():
    """Logits (N, K) whose softmax is the very distribution that the labels (N,) are drawn from."""
    random = np.random.default_rng(0)
    logits = random.standard_normal((20000, 4)) * 1.5
    labels = np.array([random.choice(4, p=row) for row in softmax(logits, axis=1)])
    return logits, labels


def test_the_error_of_true_probabilities_vanishes_and_that_of_sharpened_ones_does_not(calibrated):
    logits, labels = calibrated
    assert expected_calibration_error(logits, labels) < 0.015
    assert expected_calibration_error(3 * logits, labels) > 0.15


@pytest.mark.parametrize("scale", [0.25, 1.0, 4.0])
def test_a_temperature_undoes_a_scale(calibrated, scale):
    logits, labels = calibrated
    assert fit_temperature(scale * logits, labels) == pytest.approx(scale, rel=0.05)


def test_bins_by_hand():
    logits = np.log([[0.92, 0.08], [0.84, 0.16], [0.28, 0.72], [0.45, 0.55]])
    found = reliability(logits, np.array([0, 1, 1, 0]), bins=2)
    assert found == [(pytest.approx((0.92 + 0.84 + 0.72 + 0.55) / 4), 0.5, 4)]
    found = reliability(logits, np.array([0, 1, 1, 0]), bins=10)
    assert [count for _, _, count in found] == [1, 1, 1, 1]
    assert [accuracy for _, accuracy, _ in found] == [0.0, 1.0, 0.0, 1.0]
    error = expected_calibration_error(logits, np.array([0, 1, 1, 0]), bins=2)
    assert error == pytest.approx((0.92 + 0.84 + 0.72 + 0.55) / 4 - 0.5)


@pytest.mark.parametrize(
    ("logits", "labels", "field"),
    [
        (np.zeros((0, 2)), np.zeros(0, int), "logits and labels"),
        (np.zeros((3, 2)), np.zeros(2, int), "logits and labels"),
        (np.full((1, 2), np.nan), np.zeros(1, int), "logits"),
        (np.zeros((1, 2)), np.array([2]), "labels"),
        (np.zeros((1, 2)), np.array([0.5]), "labels"),
    ],
)
def test_bad_input_is_named(logits, labels, field):
    for function in (reliability, expected_calibration_error, fit_temperature):
        with pytest.raises(BatchError, match=f"^{field}: expected"):
            function(logits, labels)
