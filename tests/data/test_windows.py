"""Windows hold the utterances before, of the same dialogue."""

import pytest

from mm_emotion.data.rows import check_rows
from mm_emotion.data.windows import with_windows
from mm_emotion.errors import FeatureError


def test_windows_end_with_the_own_vector_and_stay_in_the_dialogue(make_rows):
    rows = make_rows(sessions=1, dialogues=2, utterances=4)
    found = with_windows(rows, ["text"], 3)
    check_rows(found)
    steps = [[[step[1:] for step in window] for window in found["text"][:]][index] for index in (0, 1, 2, 3, 4)]
    assert steps[0] == [[0, 0]] and steps[1] == [[0, 0], [0, 1]] and steps[2] == [[0, 0], [0, 1], [0, 2]]
    assert steps[3] == [[0, 1], [0, 2], [0, 3]] and steps[4] == [[1, 0]]
    assert [len(window) for window in with_windows(rows, ["text"], 1)["text"][:]] == [1] * 8


def test_bad_input_is_a_typed_error(make_rows):
    rows = make_rows(sessions=1, dialogues=1)
    with pytest.raises(FeatureError, match="length"):
        with_windows(rows, ["text"], 0)
    with pytest.raises(FeatureError, match="a vector"):
        with_windows(with_windows(rows, ["text"], 2), ["text"], 2)
    missing = make_rows(sessions=1, dialogues=1, text=[[1.0], None, [2.0]])
    with pytest.raises(FeatureError, match="u1"):
        with_windows(missing, ["text"], 2)
