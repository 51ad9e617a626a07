"""Linear fusion against the solution in closed form, and shares with their signs."""

import numpy as np
import pytest

from mm_emotion.errors import BatchError
from mm_emotion.metrics.importance import fit_linear_fusion, leave_one_recording_out


def case():
    random = np.random.default_rng(0)
    outputs = random.normal(size=(90, 3))
    return outputs, outputs @ [0.1, -0.3, 0.6] + 0.4, np.repeat(["a", "b", "c"], 30)


def test_coefficients_and_shares():
    outputs, labels, _ = case()
    fusion = fit_linear_fusion(outputs, np.where(np.arange(90) == 5, np.nan, labels))
    np.testing.assert_allclose(fusion.coefficients, [0.1, -0.3, 0.6])
    assert fusion.intercept == pytest.approx(0.4)
    np.testing.assert_allclose(fusion.shares, [0.1, -0.3, 0.6])
    np.testing.assert_allclose(fusion(outputs), labels)
    assert fit_linear_fusion(outputs * 0, labels).shares.tolist() == [0, 0, 0]


def test_as_scikit_learn():
    from sklearn.linear_model import LinearRegression

    outputs, labels, _ = case()
    labels = labels + np.random.default_rng(1).normal(size=90)
    expected = LinearRegression().fit(outputs, labels)
    found = fit_linear_fusion(outputs, labels)
    np.testing.assert_allclose(found.coefficients, expected.coef_)
    assert found.intercept == pytest.approx(expected.intercept_)


def test_the_left_out_recording_has_no_say():
    outputs, labels, names = case()
    fused = leave_one_recording_out(outputs, labels, names)
    np.testing.assert_allclose(fused, labels)
    spoilt = np.where(names == "b", 100 * labels**2, labels)
    np.testing.assert_allclose(leave_one_recording_out(outputs, spoilt, names)[names == "b"], labels[names == "b"])


@pytest.mark.parametrize(
    ("outputs", "labels"),
    [(np.zeros((3, 2)), np.zeros(2)), (np.zeros(3), np.zeros(3)), (np.zeros((3, 1)), np.array([1, np.nan, np.nan])),
     (np.full((3, 1), np.inf), np.zeros(3))],
)  # fmt: skip
def test_bad_input_is_a_typed_error(outputs, labels):
    with pytest.raises(BatchError):
        fit_linear_fusion(outputs, labels)
    with pytest.raises(BatchError):
        leave_one_recording_out(np.zeros((2, 1)), np.zeros(2), ["a", "a"])
