import sys

import numpy as np
import pytest

from mm_emotion.errors import FeatureError, MissingExtraError
from mm_emotion.features.selection import select_values


@pytest.fixture
def table():
    """Sixty vectors of 20 values, of which 4, 11 and 17 tell the three classes apart."""
    random = np.random.default_rng(0)
    labels = np.arange(60) % 3
    table = random.standard_normal((60, 20))
    for label, column in enumerate((4, 11, 17)):
        table[labels == label, column] += 6
    return table, labels


@pytest.mark.parametrize("classifier", ["linear_svm", "logistic"])
def test_the_values_that_tell_classes_apart_are_chosen(table, classifier):
    chosen = select_values(*table, 3, classifier)
    assert chosen.dtype == np.int64
    assert chosen.tolist() == [4, 11, 17]
    assert {4, 11, 17} < set(select_values(*table, 8, classifier).tolist())
    assert select_values(*table, 20, classifier).tolist() == list(range(20))


def test_impossible_selections_are_refused(table, monkeypatch):
    values, labels = table
    for arguments, message in (
        ((values, labels, 21), "1 to 20"),
        ((values, labels, 0), "1 to 20"),
        ((values, labels, 3, "forest"), "linear_svm"),
        ((values, np.zeros(60), 3), "two classes"),
    ):
        with pytest.raises(FeatureError, match=message):
            select_values(*arguments)
    monkeypatch.setitem(sys.modules, "sklearn.svm", None)
    with pytest.raises(MissingExtraError, match=r"mm_emotion\[baselines\]"):
        select_values(values, labels, 3)
