import numpy as np
import pytest

from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features.scaling import Scaling, Statistics

TABLE = np.random.default_rng(0).normal(5, 3, (60, 4)).astype(np.float32)
TABLE[:, 2] = 0.1


def statistics(parts: list[np.ndarray]) -> Statistics:
    made = Statistics()
    for part in parts:
        made.add(part)
    return made


@pytest.mark.parametrize("parts", [list(TABLE), [TABLE], [TABLE[:7], TABLE[7], TABLE[8:]]])
def test_vectors_and_sequences_count_step_by_step(parts):
    standard = statistics(parts).scaling("standard")(TABLE)
    np.testing.assert_allclose(standard.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(standard.std(axis=0), [1, 1, 0, 1], atol=1e-5)
    ranged = statistics(parts).scaling("min_max")(TABLE)
    assert ranged.min(axis=0).tolist() == [0] * 4
    np.testing.assert_allclose(ranged.max(axis=0), [1, 1, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(statistics(parts).scaling("none")(TABLE), TABLE)


def test_large_values_lose_nothing():
    far = np.float64([1e8, 1e8 + 1, 1e8 + 2])[:, None]
    assert statistics(list(far)).scaling("standard").scale[0] == 1.0  # hardly varies, for its size
    near = np.float64([1e4, 1e4 + 1, 1e4 + 2])[:, None]
    assert statistics(list(near)).scaling("standard").scale[0] == pytest.approx(np.sqrt(2 / 3), rel=1e-9)


def test_chosen_values_are_scaled_in_their_order():
    scaling = Scaling(np.array([1.0, 2.0]), np.array([2.0, 4.0]), np.array([3, 0]))
    assert scaling(np.array([[10.0, 0, 0, 5.0]])).tolist() == [[2.0, 2.0]]
    with pytest.raises(FeatureError, match="more than 3"):
        scaling(np.zeros(3))
    with pytest.raises(FeatureError, match="2 values"):
        Scaling(np.zeros(2), np.ones(2))(np.zeros(3))


def test_bad_values_are_refused():
    for bad, message in ((np.zeros(5), "steps of 4"), (np.full(4, np.nan), "finite"), (np.zeros((0, 4)), "steps of 4")):
        with pytest.raises(FeatureError, match=message):
            statistics([TABLE, bad])
    with pytest.raises(FeatureError, match="at least one training utterance"):
        Statistics().scaling("standard")
    for arrays in (
        (np.zeros(2), np.ones(3)),
        (np.zeros(2), np.zeros(2)),
        (np.array([np.nan]), np.ones(1)),
        (np.zeros(2), np.ones(2), np.array([0])),
        (np.zeros(1), np.ones(1), np.array([-1])),
    ):
        with pytest.raises(CheckpointError):
            Scaling(*arrays)
