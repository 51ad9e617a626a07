"""Encoded vectors land on their rows, and an out-of-fold vector comes from a network that has not seen its dialogue."""

import numpy as np
import pytest

from mm_emotion.errors import FeatureError
from mm_emotion.training.encoding import add_vectors, dialogue_folds, out_of_fold


def test_vectors_become_a_float32_column(corpus):
    vectors = np.arange(len(corpus) * 3, dtype=np.float64).reshape(-1, 3)
    rows = add_vectors(corpus, "audio", vectors)
    assert rows.features["audio"].feature.dtype == "float32"
    assert rows["audio"][5] == [15.0, 16.0, 17.0]
    again = add_vectors(rows, "audio", vectors + 1)
    assert again["audio"][0] == [1.0, 2.0, 3.0]


def test_a_wrong_count_or_a_nan_is_named(corpus):
    with pytest.raises(FeatureError, match=f"{len(corpus)} vectors"):
        add_vectors(corpus, "audio", np.zeros((2, 3)))
    vectors = np.zeros((len(corpus), 3))
    vectors[7, 1] = np.nan
    with pytest.raises(FeatureError, match=corpus["utterance_id"][7]):
        add_vectors(corpus, "audio", vectors)


def test_folds_cut_the_dialogues_and_follow_the_seed():
    names = [f"d{index}" for index in range(11) for _ in range(3)]
    folds = dialogue_folds(names, 4, seed=0)
    assert sorted(name for fold in folds for name in fold) == sorted(set(names))
    assert {len(fold) for fold in folds} == {2, 3}
    assert folds == dialogue_folds(names[::-1], 4, seed=0)
    assert folds != dialogue_folds(names, 4, seed=1)
    with pytest.raises(FeatureError, match=r"encoders\.folds"):
        dialogue_folds(names, 12, seed=0)


def test_out_of_fold_vectors_come_from_networks_that_did_not_see_the_dialogue():
    names = [f"d{index % 7}" for index in range(40)]
    seen = []

    def encode_without(number, held_out):
        seen.append(held_out)
        rows = [name for name in names if name in held_out]
        return np.array([[number, int(name[1:])] for name in rows], dtype=np.float32)

    vectors = out_of_fold(names, 3, 0, encode_without)
    for name, (number, dialogue) in zip(names, vectors, strict=True):
        assert name in seen[int(number)]
        assert name == f"d{int(dialogue)}"
