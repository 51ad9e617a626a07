"""Scaling as described and as printed, degenerate outputs, and smoothing that stays within its recording."""

import numpy as np
import pytest

from mm_emotion.errors import BatchError
from mm_emotion.metrics.outputs import SCALINGS, LabelStatistics, recording_slices, scale, smooth

LABELS = LabelStatistics.of(np.array([-0.5, 0.5, np.nan, 0.9, -0.3]))
OUTPUTS = np.array([0.1, 0.2, 0.4, 0.15])


def test_the_corrected_scalings_reach_what_they_are_for():
    found = scale(OUTPUTS, LABELS, "min_max")
    assert (found.min(), found.max()) == pytest.approx((-0.5, 0.9))
    found = scale(OUTPUTS, LABELS, "std_ratio")
    assert found.std() == pytest.approx(LABELS.deviation) and np.argsort(found).tolist() == [0, 3, 1, 2]
    np.testing.assert_array_equal(scale(OUTPUTS, LABELS, "none"), OUTPUTS)


def test_the_printed_forms_are_kept():
    expected = 1.4 * OUTPUTS - 0.1 / 0.3 - 0.5
    np.testing.assert_allclose(scale(OUTPUTS, LABELS, "min_max_as_printed"), expected)
    ratio = OUTPUTS.std() / LABELS.deviation
    np.testing.assert_allclose(scale(OUTPUTS, LABELS, "std_ratio_as_printed"), ratio * OUTPUTS)


@pytest.mark.parametrize(
    ("greatest", "expected"),
    [(0.08, 0.8), (0.4, 0.4), (1.0, 0.1), (0.1, 0.1 * 10**0), (0.01, 0.1), (1000.0, 0.1), (73.0, 0.73), (9.99, 0.999)],
)
def test_decimal_brings_the_greatest_below_one_and_no_further(greatest, expected):
    found = scale(np.array([greatest, -greatest / 2]), LABELS, "decimal")
    assert found[0] == pytest.approx(expected) and abs(found).max() < 1


@pytest.mark.parametrize("name", SCALINGS)
def test_outputs_without_spread_stay_or_stay_finite(name):
    assert np.isfinite(scale(np.full(3, 0.3), LABELS, name)).all()
    np.testing.assert_array_equal(scale(np.zeros(3), LABELS, name), np.zeros(3))
    assert np.isfinite(scale(OUTPUTS, LabelStatistics(0.2, 0.2, 0.0), name)).all()


def test_smoothing_does_not_cross_recordings():
    outputs = np.array([0.0, 9.0, 0.0, 0.0, 5.0, 5.0, 5.0])
    names = ["a"] * 4 + ["b"] * 3
    found = smooth(outputs, names, "median", 0.3, 0.1)
    np.testing.assert_array_equal(found, [0, 0, 0, 0, 5, 5, 5])
    soft = smooth(outputs, names, "gaussian", 0.1, 0.1)
    np.testing.assert_allclose(soft[4:], 5)
    assert soft[:4].max() < 9 and soft[3] > 0
    np.testing.assert_array_equal(smooth(outputs, names, "none", 0.0, 0.1), outputs)
    np.testing.assert_array_equal(smooth(outputs, names, "median", 0.05, 0.1), outputs)


@pytest.mark.parametrize(
    "call",
    [
        lambda: scale(OUTPUTS, LABELS, "maximum"),
        lambda: scale(np.array([np.nan]), LABELS, "none"),
        lambda: scale(np.zeros((2, 2)), LABELS, "none"),
        lambda: smooth(OUTPUTS, ["a"] * 4, "mean", 1.0, 0.1),
        lambda: smooth(OUTPUTS, ["a"] * 4, "median", 0.0, 0.1),
        lambda: smooth(OUTPUTS, ["a"] * 3, "median", 1.0, 0.1),
        lambda: recording_slices(["a", "b", "a"], 3),
        lambda: LabelStatistics.of(np.array([np.nan])),
    ],
)
def test_bad_input_is_a_typed_error(call):
    with pytest.raises(BatchError):
        call()
