"""What a system makes of its classes becomes pictures on a light and a dark ground, also where a class is empty."""

import sys

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from mm_emotion.errors import MissingExtraError
from mm_emotion.figures import calibration_figure, confusion_figure, projection_figure


def grounds(paths):
    """The colour of the upper left corner of each picture, and how much else there is to see."""
    pictures = [imread(path)[..., :3] for path in paths]
    assert all(min(picture.shape[:2]) > 100 and picture.std() > 0.01 for picture in pictures)
    return [picture[0, 0].mean() for picture in pictures]


def test_rows_are_shares_of_the_labelled_class(tmp_path, monkeypatch):
    written, shown = [], []
    text, imshow = Axes.text, Axes.imshow
    monkeypatch.setattr(Axes, "text", lambda axes, x, y, s, **options: written.append((x, y, s)) or text(axes, x, y, s))
    monkeypatch.setattr(Axes, "imshow", lambda axes, image, **options: shown.append(image) or imshow(axes, image))
    paths = confusion_figure(np.array([[3, 1], [0, 0]]), ["sad", "happy"], tmp_path / "deep" / "matrix.png", "title")
    assert [path.name for path in paths] == ["matrix.png", "matrix_dark.png"]
    assert sorted((tmp_path / "deep").iterdir()) == sorted(paths)
    assert grounds(paths) == [1.0, pytest.approx(0.07, abs=0.03)]
    for image in shown:
        np.testing.assert_array_equal(image, [[0.75, 0.25], [0, 0]])
    assert written == [(0, 0, "75%\n3"), (1, 0, "25%\n1"), (0, 1, "0%\n0"), (1, 1, "0%\n0")] * 2


def test_every_class_of_a_projection_has_its_own_marker_and_count(tmp_path, monkeypatch):
    drawn = []
    scatter = Axes.scatter
    monkeypatch.setattr(Axes, "scatter", lambda axes, *at, **look: drawn.append(look) or scatter(axes, *at, **look))
    points = np.random.default_rng(0).standard_normal((6, 2))
    grounds(projection_figure(points, np.array([0, 0, 1, 1, 1, 0]), ["a", "b", "c"], tmp_path / "p.png", "title"))
    light = drawn[:3]
    assert [look["label"] for look in light] == ["a (3)", "b (3)", "c (0)"]
    assert len({look["marker"] for look in light}) == len({look["color"] for look in light}) == 3


def test_calibration_is_drawn_with_and_without_temperature(tmp_path):
    grounds(calibration_figure([(0.4, 0.3, 3), (0.9, 0.6, 7)], [(0.5, 0.5, 10)], tmp_path / "c.png", "title"))


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(MissingExtraError, match="figures"):
        confusion_figure(np.eye(2, dtype=int), ["a", "b"], tmp_path / "matrix.png", "title")
    assert not any(tmp_path.iterdir())
