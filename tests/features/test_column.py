import numpy as np
import pytest

from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features.column import KINDS, ColumnFeature
from mm_emotion.features.scaling import Scaling

EVERY = [(column, name) for column, kinds in KINDS.items() for name in kinds]


@pytest.mark.parametrize(("column", "name"), EVERY)
def test_options_come_back_as_they_were(column, name):
    feature = ColumnFeature.parse(column, {"feature": name})
    assert feature.kind.name == name
    assert ColumnFeature.parse(column, feature.options()) == feature
    assert feature.is_fitted_on_training == feature.is_stored == (name not in ("video_clips", "waveform"))


def test_the_first_feature_of_a_column_is_the_default():
    assert ColumnFeature.parse("audio", {}).kind.name == "functionals"
    assert ColumnFeature.parse("audio", {"scaling": "none"}).is_fitted_on_training is False


STEPS = np.arange(1, 7, dtype=np.float32).reshape(3, 2)


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({}, [1, 3, 5]),
        ({"max_length": 5}, [1, 3, 5, 0, 0]),
        ({"max_length": 5, "pad_side": "left"}, [0, 0, 1, 3, 5]),
        ({"max_length": 2}, [1, 3]),
        ({"max_length": 2, "truncation_side": "left"}, [3, 5]),
    ],
)
def test_sequences_get_their_length(options, rows):
    feature = ColumnFeature.parse("audio", {"feature": "short_term", **options})
    assert feature.finish(STEPS, None)[:, 0].tolist() == rows


def test_padding_is_zero_after_scaling():
    feature = ColumnFeature.parse("mocap", {"max_length": 4})
    made = feature.finish(STEPS, Scaling(np.array([5.0, 6.0]), np.array([2.0, 2.0])))
    assert made.tolist() == [[-2, -2], [-1, -1], [0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("column", "options", "message"),
    [
        ("sound", {}, "did you mean|any of audio"),
        ("audio", {"feature": "short_terms"}, "did you mean 'short_term'"),
        ("audio", {"windw": 1}, "any of"),
        ("audio", {"max_length": 5}, "max_length"),  # a vector has no length
        ("audio", {"feature": "short_term", "selection": "linear_svm", "selected": 3}, "selection"),
        ("visual", {"scaling": "standard"}, "scaling"),
        ("audio", {"scaling": "standrd"}, "did you mean 'standard'"),
        ("audio", {"selection": "linear_svm"}, "both or neither"),
        ("audio", {"selection": "linear_svm", "selected": 0}, "selected"),
        ("audio", {"feature": "short_term", "max_length": True}, "max_length"),
        ("audio", {"feature": "short_term", "pad_side": "up"}, "pad_side"),
        ("audio", {"channel": "lef"}, "did you mean 'left'"),
        ("mocap", {"channel": "left"}, "channel"),  # motion has none
    ],
)
def test_unknown_and_impossible_options_are_refused(column, options, message):
    with pytest.raises(FeatureError, match=message):
        ColumnFeature.parse(column, options)


def test_another_version_is_refused():
    with pytest.raises(CheckpointError, match="version of mocap"):
        ColumnFeature.parse("mocap", {"version": 0})
