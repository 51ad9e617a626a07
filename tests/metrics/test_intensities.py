"""Scores of graded emotions against literal counting, and the predictors that they are compared with."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from mm_emotion.errors import BatchError
from mm_emotion.metrics.intensities import (
    GRADES,
    all_zero,
    average_precision,
    baseline_scores,
    intensity_scores,
    label_category_intensities,
    label_quantity_intensities,
    label_sets,
    presence_f1,
    random_intensities,
)

NAMES = ("anger", "disgust", "fear", "happy", "sad", "surprise")


@pytest.fixture
def table():
    random = np.random.default_rng(1)
    labels = np.where(random.random((60, 6)) < 0.4, random.choice(GRADES, (60, 6)), 0)
    return (labels + random.normal(0, 0.8, labels.shape)).round(1), labels


def test_scores_by_counting(table):
    predictions, labels = table
    scores = intensity_scores(predictions, labels, NAMES)
    anger, truth = predictions[:, 0], labels[:, 0]
    assert scores["mean_absolute_error_anger"] == pytest.approx(sum(abs(anger - truth)) / 60)
    assert scores["binary_accuracy_anger"] == sum((round(a) != 0) == (round(b) != 0) for a, b in table_rows(table)) / 60
    grades = [(min(max(round(a), 0), 3), min(max(round(b), 0), 3)) for a, b in table_rows(table)]
    assert scores["four_class_accuracy_anger"] == sum(a == b for a, b in grades) / 60
    assert scores["pearson_anger"] == pytest.approx(np.corrcoef(anger, truth)[0, 1])
    for metric in ("mean_absolute_error", "binary_accuracy", "four_class_accuracy", "macro_f1", "average_precision"):
        assert scores[metric] == pytest.approx(np.mean([scores[f"{metric}_{name}"] for name in NAMES]))


def table_rows(table):
    return [(float(a), float(b)) for a, b in zip(table[0][:, 0], table[1][:, 0], strict=True)]


def test_presence_is_that_of_scikit_learn(table):
    predictions, labels = table
    for k in range(6):
        present = np.rint(labels[:, k]) != 0
        assert presence_f1(predictions[:, k], labels[:, k]) == pytest.approx(
            f1_score(present, np.rint(predictions[:, k]) != 0)
        )
        assert average_precision(predictions[:, k], labels[:, k]) == pytest.approx(
            average_precision_score(present, predictions[:, k])
        )


def test_halves_round_to_even():
    labels = np.array([[0.5], [1.5], [2.5], [3.0]])
    scores = intensity_scores(np.array([[0.0], [2.0], [2.0], [3.4]]), labels, ["anger"])
    assert scores["four_class_accuracy"] == 1 and scores["binary_accuracy"] == 1


def test_what_is_not_defined_is_nan(table):
    _, labels = table
    labels[:, 1] = 0
    scores = intensity_scores(all_zero(60, 6), labels, NAMES)
    assert np.isnan(scores["pearson"]) and np.isnan(scores["macro_f1_disgust"])
    assert np.isnan(scores["average_precision_disgust"]) and scores["macro_f1_anger"] == 0
    assert scores["binary_accuracy_disgust"] == 1


def test_the_random_predictors_follow_their_descriptions():
    random = np.random.default_rng(0)
    drawn = random_intensities(6000, 6, random)
    assert np.bincount((drawn > 0).sum(1), minlength=7) == pytest.approx(np.full(7, 6000 / 7), rel=0.12)
    assert np.isin(drawn, [0, *GRADES]).all()
    assert drawn.mean() == pytest.approx(0.5 * GRADES.mean(), rel=0.03)
    twice = random_intensities(6000, 6, random, replace=True)
    assert (twice > 0).mean() == pytest.approx(np.mean([1 - (5 / 6) ** n for n in range(7)]), rel=0.03)
    train = np.zeros((100, 6))
    train[:30, 3], train[:10, 4] = 2.0, 1.0
    by_category = label_category_intensities(train, 6000, random)
    assert (by_category > 0).mean(0) == pytest.approx([0, 0, 0, 0.3, 0.1, 0], abs=0.02)
    by_quantity = label_quantity_intensities(train, 6000, random)
    assert np.bincount((by_quantity > 0).sum(1)) / 6000 == pytest.approx([0.7, 0.2, 0.1], abs=0.02)
    assert (by_quantity > 0).mean(0) == pytest.approx(np.full(6, 0.4 / 6), abs=0.02)


def test_all_zero_beats_chance_where_emotions_are_rare():
    random = np.random.default_rng(2)
    labels = np.where(random.random((500, 6)) < 0.1, random.choice(GRADES, (500, 6)), 0)
    scores = baseline_scores(labels, labels, NAMES)
    assert list(scores) == ["all_zero", "random", "label_category", "label_quantity"]
    assert scores["all_zero"]["binary_accuracy"] > 0.85 > scores["random"]["binary_accuracy"]
    errors = [scores[name]["mean_absolute_error"] for name in scores]
    assert errors[0] < errors[2] < errors[1]


def test_label_sets_count_combinations():
    labels = np.array([[0, 1.0], [0, 0.33], [0, 0], [2, 1], [np.nan, 1]])
    found = label_sets(labels, ["sad", "happy"])
    assert list(found.combinations.items()) == [(("happy",), 2), ((), 1), (("sad", "happy"), 1)]
    assert found.sizes.tolist() == [1, 2, 1] and found.count == 4


@pytest.mark.parametrize("shape", [(0, 6), (3, 5), (6,)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(BatchError, match="labels"):
        intensity_scores(np.zeros(shape), np.zeros(shape), NAMES)
    with pytest.raises(BatchError, match="labels"):
        label_sets(np.zeros(shape), NAMES)
