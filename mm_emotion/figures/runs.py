"""Figures of runs: learning curves, what each modality brings, the spread over seeds, size against quality."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm_emotion.figures.canvas import LINES, MARKERS, Theme, draw

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LONGEST_NAME = 48  # characters of a system beside its row


def curves_figure(history: Sequence[Mapping[str, float]], chosen: int, path: Path, title: str) -> list[Path]:
    """Draw every quantity of `history`, one mapping an epoch, against its `epoch`; `chosen` is the epoch that was kept.

    Losses have the left axis, other quantities the right one.
    """
    epochs = [row["epoch"] for row in history]
    quantities = [name for name in history[0] if name != "epoch"]

    def paint(axes: "Axes", theme: Theme) -> None:
        right = axes.twinx() if any(not name.endswith("loss") for name in quantities) else None
        for index, name in enumerate(quantities):
            side = axes if name.endswith("loss") or right is None else right
            look = {"color": theme.series[index], "linestyle": LINES[index % 4], "marker": MARKERS[index]}
            side.plot(epochs, [row[name] for row in history], markersize=3, label=name.replace("_", " "), **look)
        axes.axvline(chosen, color=theme.ink, linewidth=0.8, linestyle=":", label=f"chosen epoch: {chosen}")
        axes.set(xlabel="epoch", ylabel="loss")
        sides = [axes] if right is None else [axes, right]
        if right is not None:
            right.set_ylabel("other quantities")
            right.spines["right"].set_visible(True)
        lines = [line for side in sides for line in side.get_lines()]
        names = [line.get_label() for line in lines]
        axes.legend(lines, names, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=len(names))

    return draw(path, (7.0, 4.2), title, paint)


def bars_figure(values: Mapping[str, float], path: Path, title: str, label: str) -> list[Path]:
    """Draw one horizontal bar for each name of `values`, in their order from the top, with its number."""
    names = list(values)

    def paint(axes: "Axes", theme: Theme) -> None:
        bars = axes.barh(names, list(values.values()), color=theme.series[0], height=0.65)
        axes.bar_label(bars, fmt="%.1f", padding=3)
        axes.invert_yaxis()
        axes.set(xlabel=label)
        axes.margins(x=0.12)
        axes.grid(True, axis="x", linewidth=0.5)

    return draw(path, (7.0, 1.3 + 0.38 * len(names)), title, paint)


def spread_figure(values: Mapping[str, Sequence[float]], path: Path, title: str, label: str) -> list[Path]:
    """Draw every seed's value as a point and the mean as a line, one row for each name of `values`, from the top."""

    def paint(axes: "Axes", theme: Theme) -> None:
        for row, seeds in enumerate(values.values()):
            axes.scatter(seeds, [row] * len(seeds), s=22, color=theme.series[0], alpha=0.7, linewidths=0)
            axes.vlines(np.mean(seeds), row - 0.3, row + 0.3, color=theme.series[1], linewidth=2)
            axes.axhline(row, color=theme.faint, linewidth=0.4, zorder=0)
            axes.annotate(f"n={len(seeds)}", (1.01, row), xycoords=("axes fraction", "data"), va="center", fontsize=7)
        axes.set_yticks(range(len(values)), [_short(name) for name in values])
        axes.invert_yaxis()
        axes.set(xlabel=f"{label}: a point a seed, a line the mean")
        axes.grid(True, axis="x", linewidth=0.5)

    return draw(path, (8.0, 1.2 + 0.26 * len(values)), title, paint)


def parameters_figure(points: Mapping[str, tuple[int, float]], path: Path, title: str, label: str) -> list[Path]:
    """Draw quality against the number of parameters (log scale), `points` mapping a name to both.

    The points are numbered in their order, and a list beside the picture says which is which.
    """

    def paint(axes: "Axes", theme: Theme) -> None:
        families = list(dict.fromkeys(name.split("/")[0] for name in points))
        for index, family in enumerate(families):
            own = [values for name, values in points.items() if name.split("/")[0] == family]
            look = {"color": theme.series[index % len(theme.series)], "marker": MARKERS[index % len(MARKERS)]}
            axes.scatter(*zip(*own, strict=True), s=34, alpha=0.85, linewidths=0, label=family, **look)
        beside = {"textcoords": "offset points", "fontsize": 6.5, "va": "center"}
        for number, (parameters, value) in enumerate(points.values(), 1):
            right = bool(number % 2)
            side = {"xytext": (4.5 if right else -4.5, 0), "ha": "left" if right else "right"}
            axes.annotate(str(number), (parameters, value), **side, **beside)
        key = "\n".join(f"{number}  {_short(name)}" for number, name in enumerate(points, 1))
        axes.annotate(key, (1.02, 1), xycoords="axes fraction", va="top", fontsize=6.5, linespacing=1.5)
        axes.set(xscale="log", xlabel="parameters", ylabel=label)
        axes.grid(True, linewidth=0.5)
        axes.legend(loc="best")

    return draw(path, (9.0, max(5.0, 1.2 + 0.145 * len(points))), title, paint)


def intensities_figure(
    predicted: Mapping[str, np.ndarray], labelled: Mapping[str, np.ndarray], path: Path, title: str
) -> list[Path]:
    """Draw how predicted and labelled values (N,) of each dimension are distributed, as boxes side by side."""

    def paint(axes: "Axes", theme: Theme) -> None:
        for index, (kind, values) in enumerate((("labelled", labelled), ("predicted", predicted))):
            colour = theme.series[index]
            boxes = axes.boxplot(
                list(values.values()),
                positions=np.arange(len(values)) + 0.36 * index - 0.18,
                widths=0.3,
                patch_artist=True,
                flierprops={"marker": ".", "markersize": 2, "markeredgecolor": colour},
                medianprops={"color": theme.ink},
                whiskerprops={"color": colour},
                capprops={"color": colour},
            )
            for box in boxes["boxes"]:
                box.set(facecolor=colour, edgecolor=colour, alpha=0.65, hatch=("", "//")[index])
            boxes["boxes"][0].set_label(kind)
        axes.set_xticks(range(len(predicted)), list(predicted))
        axes.set(ylabel="value")
        axes.grid(True, axis="y", linewidth=0.5)
        axes.legend(loc="best")

    return draw(path, (2.5 + 1.1 * len(predicted), 4.4), title, paint)


def _short(name: str) -> str:
    """A name that leaves room for the picture."""
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
