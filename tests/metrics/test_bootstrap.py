"""Bootstrap over dialogues: the fast way equals the plain one, coverage, edges."""

import numpy as np
import pytest
from scipy import stats

from mm_emotion.errors import BatchError
from mm_emotion.metrics import (
    accuracy,
    bootstrap_interval,
    concordance_correlation,
    macro_f1,
    paired_bootstrap,
    pearson,
    unweighted_accuracy,
    weighted_f1,
)


def case(seed: int, dialogues: int = 12, utterances: int = 20, right: float = 0.6):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat([f"d{number}" for number in range(dialogues)], utterances))
    labels = rng.integers(6, size=len(groups))
    predictions = np.where(rng.random(len(groups)) < right, labels, rng.integers(6, size=len(groups)))
    return predictions, labels, groups


@pytest.mark.parametrize("metric", [accuracy, unweighted_accuracy, weighted_f1, macro_f1])
def test_counted_resamples_equal_gathered_ones(metric):
    predictions, labels, groups = case(0)
    labels[::7] = -100
    labels[groups == "d3"] = -100  # a dialogue in which nothing counts can still be drawn
    fast = bootstrap_interval(metric, predictions, labels, groups, resamples=80)
    plain = bootstrap_interval(lambda *arrays: metric(*arrays), predictions, labels, groups, resamples=80)
    assert fast == pytest.approx(plain, abs=1e-12)
    b = np.roll(predictions, 5)
    fast = paired_bootstrap(metric, predictions, b, labels, groups, resamples=80)
    plain = paired_bootstrap(lambda *arrays: metric(*arrays), predictions, b, labels, groups, resamples=80)
    assert fast[0] == plain[0] and fast[1] == pytest.approx(plain[1], abs=1e-12)


def test_equal_seeds_give_equal_intervals_and_order_of_dialogues_does_not_matter():
    predictions, labels, groups = case(1)
    first = bootstrap_interval(weighted_f1, predictions, labels, groups, seed=3)
    assert first == bootstrap_interval(weighted_f1, predictions, labels, groups, seed=3)
    assert first != bootstrap_interval(weighted_f1, predictions, labels, groups, seed=4)
    order = np.random.default_rng(0).permutation(len(groups))
    assert first == bootstrap_interval(weighted_f1, predictions[order], labels[order], groups[order], seed=3)


def test_whole_dialogues_are_drawn():
    # all right or all wrong within a dialogue: resampling utterances would give a far narrower interval
    groups = np.repeat(np.arange(10), 100)
    labels = np.zeros(1000, dtype=int)
    predictions = (groups < 5).astype(int)
    low, high = bootstrap_interval(accuracy, predictions, labels, groups)
    wanted = stats.binom(10, 0.5).ppf([0.025, 0.975]) / 10
    assert (low, high) == pytest.approx(tuple(wanted), abs=0.051)


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    for seed in range(60):
        low, high = bootstrap_interval(accuracy, *case(seed, dialogues=30), resamples=300, confidence=0.9)
        hits += low <= 0.6 + 0.4 / 6 <= high
    assert 46 <= hits <= 60  # 54 expected; below 46 has a chance of 0.2 %


def test_a_wider_confidence_is_a_wider_interval():
    narrow = bootstrap_interval(weighted_f1, *case(2), confidence=0.5)
    wide = bootstrap_interval(weighted_f1, *case(2), confidence=0.99)
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_a_system_beside_itself_does_not_differ():
    predictions, labels, groups = case(3)
    assert paired_bootstrap(weighted_f1, predictions, predictions, labels, groups) == (0, (0, 0))
    difference, (low, high) = paired_bootstrap(accuracy, labels, predictions, labels, groups)
    assert difference == 1 - accuracy(predictions, labels) and 0 < low < difference < high


def test_values_and_undefined_draws():
    rng = np.random.default_rng(0)
    labels = rng.normal(size=40)
    groups = np.repeat(np.arange(4), 10)
    predictions = labels + rng.normal(size=40)
    low, high = bootstrap_interval(concordance_correlation, predictions, labels, groups, resamples=200)
    assert low < concordance_correlation(predictions, labels) < high
    predictions[:30] = 1.0  # pearson is undefined in the draws of these three recordings alone
    low, high = bootstrap_interval(pearson, predictions, labels, groups, resamples=200)
    assert -1 <= low < high <= 1
    assert np.isnan(bootstrap_interval(pearson, np.ones(40), labels, groups, resamples=5)).all()


def test_one_dialogue_has_no_spread():
    predictions, labels, _ = case(4)
    low, high = bootstrap_interval(accuracy, predictions, labels, ["only"] * len(labels))
    assert low == high == accuracy(predictions, labels)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": ["a"]}, "groups: expected one name a value"),
        ({"groups": [["a"], ["b"]]}, "groups: expected one name a value"),
        ({"predictions": [1]}, "predictions: expected the shape of labels"),
        ({"resamples": 0}, "resamples"),
        ({"confidence": 1.0}, "confidence"),
        ({"predictions": [], "labels": [], "groups": []}, "at least one"),
        ({"labels": [-100, -100]}, "at least one value that counts"),
    ],
)
def test_bad_inputs_are_refused(change, message):
    arguments = {"predictions": [0, 1], "labels": [0, 0], "groups": ["a", "b"]} | change
    with pytest.raises(BatchError, match=message):
        bootstrap_interval(accuracy, **arguments)
