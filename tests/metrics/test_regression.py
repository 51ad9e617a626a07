"""Regression metrics against scipy, scikit-learn and the formulas written out."""

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as reference

from mm_emotion.errors import BatchError
from mm_emotion.metrics import (
    balanced_binary_accuracy,
    binary_accuracy,
    concordance_correlation,
    four_class_accuracy,
    mean_absolute_error,
    pearson,
    per_dimension,
)

ALL = (
    mean_absolute_error,
    pearson,
    concordance_correlation,
    binary_accuracy,
    four_class_accuracy,
    balanced_binary_accuracy,
)


def concordance(x, y, ddof=0) -> float:
    covariance = sum((a - np.mean(x)) * (b - np.mean(y)) for a, b in zip(x, y, strict=True)) / len(x)
    return 2 * covariance / (np.var(x, ddof=ddof) + np.var(y, ddof=ddof) + (np.mean(x) - np.mean(y)) ** 2)


@pytest.mark.parametrize("seed", range(200))
def test_random_cases_agree_with_other_implementations(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(3, 80))
    labels = rng.normal(1, 1.5, n)
    predictions = labels * rng.normal() + rng.normal(size=n) + rng.normal()
    assert mean_absolute_error(predictions, labels) == pytest.approx(
        reference.mean_absolute_error(labels, predictions), abs=1e-12
    )
    assert pearson(predictions, labels) == pytest.approx(stats.pearsonr(predictions, labels).statistic, abs=1e-10)
    value = concordance_correlation(predictions, labels)
    assert value == pytest.approx(concordance(predictions, labels), abs=1e-10)
    assert value == pytest.approx(concordance_correlation(labels, predictions), abs=1e-12)
    assert abs(value) <= abs(pearson(predictions, labels)) + 1e-12
    assert concordance_correlation(predictions, labels, avec2018=True) == pytest.approx(
        concordance(predictions, labels, ddof=1), abs=1e-10
    )
    present, predicted = np.round(labels) != 0, np.round(predictions) != 0
    assert binary_accuracy(predictions, labels) == pytest.approx(np.mean(present == predicted))
    assert balanced_binary_accuracy(predictions, labels) == pytest.approx(
        np.mean([np.mean(predicted[present == side] == side) for side in np.unique(present)])
    )
    grades = [np.clip(np.round(values), 0, 3).astype(int) for values in (predictions, labels)]
    assert four_class_accuracy(predictions, labels) == pytest.approx(reference.accuracy_score(*grades))


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize("seed", range(20))
def test_whole_weights_are_repetitions(metric, seed):
    rng = np.random.default_rng(seed)
    predictions, labels = rng.normal(1, 1, (2, 12))
    times = rng.integers(0, 4, 12)
    times[:2] = 1
    repeated = metric(np.repeat(predictions, times), np.repeat(labels, times))
    assert metric(predictions, labels, sample_weight=times) == pytest.approx(repeated, abs=1e-10)
    if metric is concordance_correlation:
        repeated = metric(np.repeat(predictions, times), np.repeat(labels, times), avec2018=True)
        weighted = metric(predictions, labels, sample_weight=times, avec2018=True)
        assert weighted == pytest.approx(repeated, abs=1e-10)


@pytest.mark.parametrize("metric", ALL)
def test_what_does_not_count_changes_nothing(metric):
    rng = np.random.default_rng(0)
    predictions, labels = rng.normal(1, 1, (2, 6, 5))
    mask = rng.random((6, 5)) < 0.5
    wanted = metric(predictions[mask], labels[mask])
    assert metric(predictions, labels, mask=mask) == wanted
    assert metric(predictions, np.where(mask, labels, np.nan)) == wanted
    assert metric(np.where(mask, predictions, np.nan), labels, mask=mask) == wanted


def test_constant_sides():
    varied = np.array([0.0, 1.0, 5.0])
    for value in (0.1, 1e8 / 3):  # numbers whose mean is not exact
        constant = np.full(3, value)
        assert concordance_correlation(constant, varied) == concordance_correlation(varied, constant) == 0
        assert np.isnan(concordance_correlation(constant, constant)) and np.isnan(pearson(constant, varied))
        assert np.isnan(concordance_correlation(constant, constant + 1)) and np.isnan(pearson(varied, constant))
    assert concordance_correlation(varied, varied) == pearson(varied, varied) == 1
    assert concordance_correlation(varied, -varied, sample_weight=[1, 0, 0]) != concordance_correlation(varied, -varied)


def test_concordance_of_recordings_is_their_mean_where_defined():
    rng = np.random.default_rng(0)
    predictions, labels = rng.normal(size=(2, 9))
    groups = np.array(["b", "a", "b", "a", "a", "b", "c", "c", "d"])
    predictions[6:8], labels[6:8] = 1.0, 2.0  # both constant in c
    labels[8] = np.nan  # nothing counts in d
    single = [concordance_correlation(predictions[groups == name], labels[groups == name]) for name in "ab"]
    assert concordance_correlation(predictions, labels, groups=groups) == pytest.approx(np.mean(single))
    assert np.isnan(concordance_correlation(predictions[6:8], labels[6:8], groups=groups[6:8]))
    mask = groups == "a"
    assert concordance_correlation(predictions, labels, mask, groups=groups) == pytest.approx(single[0])
    with pytest.raises(BatchError, match="groups"):
        concordance_correlation(predictions, labels, groups=groups[:2])


def test_rounding_is_half_to_even():
    # 0.5 -> 0, 1.5 -> 2, 2.5 -> 2, -0.5 -> 0
    assert binary_accuracy([0.5, -0.5, 0.51, 1.5], [0, 0, 1, 0]) == 0.75
    assert four_class_accuracy([0.5, 1.5, 2.5, 9.0, -4.0, 2.6], [0, 2, 2, 3, 0, 2]) == pytest.approx(5 / 6)
    assert balanced_binary_accuracy([1.0, 1.0, 0.5], [2.0, 0.0, 0.0]) == 0.75
    assert balanced_binary_accuracy([1.0, 0.0], [1.0, 1.0]) == 0.5


def test_per_dimension():
    rng = np.random.default_rng(0)
    predictions, labels = rng.normal(size=(2, 4, 5, 3))
    mask = rng.random((4, 5)) < 0.7
    values = per_dimension(concordance_correlation, predictions, labels, mask)
    assert values.shape == (3,)
    assert values[1] == concordance_correlation(predictions[mask][:, 1], labels[mask][:, 1])
    with pytest.raises(BatchError, match=r"\(\.\.\., K\)"):
        per_dimension(pearson, predictions[0, :, 0], labels[0, :, 0])


@pytest.mark.parametrize("metric", ALL)
@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ([1.0, 2.0], [1.0], "the shape of labels"),
        ([], [], "at least one value that counts"),
        ([1.0], [np.nan], "at least one value that counts"),
        ([np.nan, 1.0], [1.0, 2.0], "predictions: expected finite values, got 1"),
        ([1.0, 2.0], [np.inf, 1.0], "labels: expected finite values"),
    ],
)
def test_bad_inputs_are_refused(metric, predictions, labels, message):
    with pytest.raises(BatchError, match=message):
        metric(predictions, labels)


def test_sample_variances_need_more_than_one_repetition():
    with pytest.raises(BatchError, match="avec2018"):
        concordance_correlation([1.0, 2.0], [1.0, 3.0], sample_weight=[0.5, 0.5], avec2018=True)
