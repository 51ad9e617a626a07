"""The saved confusion matrix says of each class what the metrics say, and refuses files that are something else."""

import json

import numpy as np
import pytest

from mm_emotion import metrics
from mm_emotion.errors import CheckpointError
from mm_emotion.schema import IGNORE_INDEX
from mm_emotion.training.confusion import FILE_NAME, read_confusion, write_confusion
from mm_emotion.training.evaluation import Prediction

NAMES = ("angry", "calm", "sad", "never")


def test_it_agrees_with_the_metrics(tmp_path):
    generator = np.random.default_rng(3)
    labels = generator.choice([0, 1, 2, IGNORE_INDEX], size=60)
    logits = generator.normal(size=(60, 4)) - [0, 0, 0, 9]
    prediction = Prediction(logits, np.zeros((60, 1)), labels, np.zeros(60, dtype=object))
    write_confusion(tmp_path, "test", prediction, NAMES)
    found = read_confusion(tmp_path)
    valid = labels != IGNORE_INDEX
    classes = logits.argmax(axis=1)[valid]
    assert (found.part, found.names, found.counts.sum()) == ("test", NAMES, valid.sum())
    np.testing.assert_allclose(found.recall, metrics.class_recall(classes, labels[valid], num_classes=4))
    np.testing.assert_allclose(found.f1, metrics.class_f1(classes, labels[valid], num_classes=4))


def test_a_folder_without_one_has_none(tmp_path):
    assert read_confusion(tmp_path) is None


@pytest.mark.parametrize(
    "text",
    [
        "{oops",
        "[]",
        json.dumps({"part": "test", "names": ["a", "b"]}),
        json.dumps({"part": "test", "names": ["a", "b"], "counts": [[1, 2]]}),
        json.dumps({"part": "test", "names": ["a", "b"], "counts": [[1, 2], [3]]}),
        json.dumps({"part": "test", "names": ["a", "b"], "counts": [[1, 2], [3, -1]]}),
    ],
)
def test_something_else_is_refused(tmp_path, text):
    (tmp_path / FILE_NAME).write_text(text)
    with pytest.raises(CheckpointError, match=FILE_NAME):
        read_confusion(tmp_path)
