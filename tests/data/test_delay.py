"""Labels move within their recording, and what they leave has no label."""

import pytest
from datasets import List, Value

from mm_emotion.data.delay import advance_labels
from mm_emotion.data.rows import check_rows
from mm_emotion.errors import CorpusError


@pytest.fixture
def rows(make_rows):
    return make_rows(
        sessions=1,
        dialogues=2,
        label=None,
        affect=[[1.0], None, [3.0], [4.0], [5.0], [6.0]],
        extra={"affect": List(Value("float32"), length=1)},
    )


def test_labels_come_from_later_frames_of_the_recording(rows):
    moved = advance_labels(rows, 1)
    assert moved["affect"][:] == [None, [3.0], None, [5.0], [6.0], None]
    assert moved.features["affect"] == rows.features["affect"]
    check_rows(moved)
    assert advance_labels(rows, 1, keep_length=True)["affect"][:] == [None, [3.0], [3.0], [5.0], [6.0], [6.0]]
    assert advance_labels(rows, 9)["affect"][:] == [None] * 6
    assert advance_labels(rows, 0) is rows


def test_no_frames_before_the_first_and_no_labels_of_classes(rows, make_rows):
    with pytest.raises(CorpusError, match="frames"):
        advance_labels(rows, -1)
    with pytest.raises(CorpusError, match="affect"):
        advance_labels(make_rows(), 1)
