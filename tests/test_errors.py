"""Typed errors say where, what was expected and what came, and survive the trip between processes."""

import pickle

import pytest

from mm_emotion import errors


@pytest.mark.parametrize(
    "name", ["CorpusError", "FeatureError", "SplitError", "BatchError", "RecipeError", "CheckpointError"]
)
def test_an_error_is_a_value_error_that_names_its_parts(name):
    kind = getattr(errors, name)
    error = kind("field x", "a number", "'y'", "did you mean z?")
    assert isinstance(error, ValueError)
    assert str(error) == "field x: expected a number, got 'y' (did you mean z?)"
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - workers of datasets send errors this way
    assert (type(again), str(again)) == (kind, str(error))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trainin", "did you mean 'training'?"), (5, ""), ("zzz", ""), (["paper"], "did you mean 'paper'?")],
)
def test_the_nearest_known_word_is_a_hint(name, hint):
    assert errors.nearest(name, {"training": 1, "paper": 2}) == hint


def test_a_missing_library_names_the_package_to_install():
    assert str(errors.MissingLibraryError("comet_ml", "comet-ml")) == "this needs comet_ml: pip install 'comet-ml'"


def test_a_missing_extra_names_what_to_install():
    assert "pip install 'mm_emotion[video]'" in str(errors.MissingExtraError("PyAV", "video"))
