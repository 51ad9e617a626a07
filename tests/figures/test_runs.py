"""Runs become pictures: one line a quantity, one row a system, one bar a set of modalities."""

import numpy as np
from matplotlib.axes import Axes

from mm_emotion.figures import bars_figure, curves_figure, intensities_figure, parameters_figure, spread_figure


def test_losses_and_metrics_have_an_axis_each(tmp_path, monkeypatch):
    lines = []
    plot = Axes.plot
    monkeypatch.setattr(Axes, "plot", lambda axes, x, y, **look: lines.append((axes, look)) or plot(axes, x, y, **look))
    history = [
        {"epoch": 1, "train_loss": 2.0, "validation_accuracy": 0.2},
        {"epoch": 2, "train_loss": 1, "validation_accuracy": 0.4},
    ]
    paths = curves_figure(history, 2, tmp_path / "curves.png", "title")
    assert [path.name for path in paths] == ["curves.png", "curves_dark.png"]
    (left, loss), (right, metric) = lines[:2]
    assert left is not right
    assert (loss["label"], metric["label"]) == ("train loss", "validation accuracy")
    assert loss["linestyle"] != metric["linestyle"]
    lines.clear()
    curves_figure([{"epoch": 1, "train_loss": 2.0, "validation_loss": 3.0}], 1, tmp_path / "curves.png", "title")
    assert lines[0][0] is lines[1][0]


def test_every_seed_is_a_point_and_the_mean_a_line(tmp_path, monkeypatch):
    points, means = [], []
    scatter, vlines = Axes.scatter, Axes.vlines
    monkeypatch.setattr(
        Axes, "scatter", lambda axes, x, y, **look: points.append((x, y)) or scatter(axes, x, y, **look)
    )
    monkeypatch.setattr(Axes, "vlines", lambda axes, x, *y, **look: means.append(x) or vlines(axes, x, *y, **look))
    spread_figure({"a": [60.0, 62.0], "b": [50.0]}, tmp_path / "spread.png", "title", "F1")
    assert points[:2] == [([60.0, 62.0], [0, 0]), ([50.0], [1])]
    assert means[:2] == [61.0, 50.0]


def test_a_system_is_named_beside_its_point(tmp_path, monkeypatch):
    written = []
    annotate = Axes.annotate
    monkeypatch.setattr(Axes, "annotate", lambda axes, *at, **look: written.append(at) or annotate(axes, *at, **look))
    parameters_figure({"x/a": (10, 1.0), "y/b": (1000, 2.0)}, tmp_path / "p.png", "title", "F1")
    assert written[:2] == [("1", (10, 1.0)), ("2", (1000, 2.0))]
    assert written[2][0].splitlines() == ["1  x/a", "2  y/b"]


def test_bars_keep_their_order_and_boxes_stand_side_by_side(tmp_path):
    assert all(
        path.stat().st_size > 1000 for path in bars_figure({"text": 60.0, "audio": 40.0}, tmp_path / "b.png", "t", "F1")
    )
    values = {"valence": np.arange(5.0), "arousal": np.arange(5.0) + 1}
    assert all(path.is_file() for path in intensities_figure(values, values, tmp_path / "i.png", "t"))
