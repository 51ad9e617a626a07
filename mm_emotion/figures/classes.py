"""Figures of one system's classes: which are taken for which, how they lie in space, how far scores can be trusted."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm_emotion.figures.canvas import MARKERS, Theme, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def confusion_figure(counts: np.ndarray, names: Sequence[str], path: Path, title: str) -> list[Path]:
    """Draw a confusion matrix (K, K), rows the labels and columns the predictions, as row percentages with counts."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)

    def paint(axes: "Axes", theme: Theme) -> None:
        from matplotlib.colors import LinearSegmentedColormap

        colours = LinearSegmentedColormap.from_list("shares", [theme.low, theme.high])
        image = axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
        for row in range(len(names)):
            for column in range(len(names)):
                text = f"{100 * shares[row, column]:.0f}%\n{counts[row, column]}"
                colour = theme.ground if shares[row, column] > 0.5 else theme.ink
                axes.text(column, row, text, ha="center", va="center", fontsize=9, color=colour)
        axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
        axes.set_yticks(range(len(names)), names)
        axes.set(xlabel="predicted", ylabel="labelled")
        axes.figure.colorbar(image, ax=axes, label="share of the labelled class", fraction=0.046)

    side = 2.2 + 0.85 * len(names)
    return draw(path, (side + 0.8, side), title, paint)


def projection_figure(
    coordinates: np.ndarray, labels: np.ndarray, names: Sequence[str], path: Path, title: str
) -> list[Path]:
    """Draw points (N, 2) with a colour and a marker of their own for each class; `labels` (N,) number `names`."""

    def paint(axes: "Axes", theme: Theme) -> None:
        for index, name in enumerate(names):
            x, y = coordinates[labels == index].T
            look = {"color": theme.series[index % len(theme.series)], "marker": MARKERS[index % len(MARKERS)]}
            axes.scatter(x, y, s=14, alpha=0.75, linewidths=0, label=f"{name} ({len(x)})", **look)
        axes.set(xticks=[], yticks=[])
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.6)

    return draw(path, (7.0, 5.0), title, paint)


def calibration_figure(
    bins: Sequence[tuple[float, float, int]], scaled: Sequence[tuple[float, float, int]], path: Path, title: str
) -> list[Path]:
    """Draw accuracy against confidence, each of `bins` (confidence, accuracy, count), as given and after a temperature.

    The size of a mark is the share of utterances in it; on the diagonal scores mean what they say.
    """

    def paint(axes: "Axes", theme: Theme) -> None:
        axes.plot([0, 1], [0, 1], color=theme.faint, linestyle=":", label="perfect")
        for index, (label, points) in enumerate((("as it is", bins), ("with a temperature", scaled))):
            confidence, accuracy, count = np.array(points, dtype=float).reshape(-1, 3).T
            colour = theme.series[index]
            axes.plot(confidence, accuracy, color=colour, linestyle=("-", "--")[index], linewidth=1)
            size = 12 + 240 * count / max(count.sum(), 1)
            axes.scatter(confidence, accuracy, s=size, color=colour, marker=MARKERS[index], label=label, alpha=0.8)
        axes.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.grid(True, linewidth=0.5)
        axes.legend(loc="upper left")

    return draw(path, (5.2, 5.2), title, paint)
