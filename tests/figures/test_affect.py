"""Figures of affect show the numbers they are given."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.image import imread

from mm_emotion.figures.affect import delay_figure, importance_figure, label_sets_figure
from mm_emotion.metrics.delay import DelayCurve
from mm_emotion.metrics.intensities import label_sets


@pytest.fixture
def drawn(monkeypatch):
    """What is plotted and the bars, on the light ground."""
    found = {"plot": [], "barh": [], "bar": []}
    for name, calls in found.items():
        own = getattr(Axes, name)

        def record(axes, *values, own=own, calls=calls, **options):
            calls.append((values, options))
            return own(axes, *values, **options)

        monkeypatch.setattr(Axes, name, record)
    return found


def is_picture(paths):
    return all(imread(path)[..., :3].std() > 0.01 for path in paths) and len(paths) == 2


def test_label_sets(tmp_path, drawn):
    sets = label_sets(np.array([[0, 1], [0, 1], [0, 0], [2, 1]]), ["sad", "happy"])
    assert is_picture(label_sets_figure(sets, tmp_path / "sets.png", "sets", most=2))
    (names, shares), _ = drawn["barh"][0]
    assert names == ["happy", "none"] and shares.tolist() == [50, 25]
    assert drawn["bar"][1][0][1].tolist() == [25, 50, 25]  # horizontal bars are bars of matplotlib, too


def test_delay(tmp_path, drawn):
    curves = {
        "arousal": DelayCurve(np.array([0, 0.5, 1]), np.array([0.1, 0.4, 0.2])),
        "liking": DelayCurve(np.array([0, 0.5, 1]), np.full(3, np.nan)),
    }
    assert is_picture(delay_figure(curves, tmp_path / "delay.png", "delay"))
    assert drawn["plot"][0][1]["label"] == "arousal: best at 0.5 s"
    assert drawn["plot"][1][0] == (0.5, 0.4)
    assert drawn["plot"][2][1]["label"] == "liking"


def test_importance(tmp_path, drawn):
    shares = {"arousal": {"text": 0.6, "audio": 0.4}, "liking": {"text": 0.9, "audio": -0.1}}
    assert is_picture(importance_figure(shares, tmp_path / "shares.png", "shares"))
    heights = {options["label"]: values[1] for values, options in drawn["bar"][:2]}
    assert heights == {"text": [60, 90], "audio": [40, -10]}
