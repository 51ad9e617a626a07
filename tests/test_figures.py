"""A confusion matrix becomes a picture, also where a class has no utterance."""

import sys

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from mm_emotion.errors import MissingExtraError
from mm_emotion.figures import confusion_figure


def test_rows_are_shares_of_the_labelled_class(tmp_path, monkeypatch):
    written, shown = [], []
    text, imshow = Axes.text, Axes.imshow
    monkeypatch.setattr(Axes, "text", lambda axes, x, y, s, **options: written.append((x, y, s)) or text(axes, x, y, s))
    monkeypatch.setattr(Axes, "imshow", lambda axes, image, **options: shown.append(image) or imshow(axes, image))
    confusion_figure(np.array([[3, 1], [0, 0]]), ["sad", "happy"], tmp_path / "deep" / "matrix.png", "title")
    np.testing.assert_array_equal(shown[0], [[0.75, 0.25], [0, 0]])
    assert written == [(0, 0, "75%\n3"), (1, 0, "25%\n1"), (0, 1, "0%\n0"), (1, 1, "0%\n0")]
    picture = imread(tmp_path / "deep" / "matrix.png")
    assert min(picture.shape[:2]) > 100
    assert picture[..., :3].std() > 0.01
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["matrix.png"]


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtraError, match="figures"):
        confusion_figure(np.eye(2, dtype=int), ["a", "b"], tmp_path / "matrix.png", "title")
    assert not (tmp_path / "matrix.png").exists()
