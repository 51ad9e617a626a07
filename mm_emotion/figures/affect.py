"""Figures of affect: which emotions go together, CCC against the delay, what each modality weighs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mm_emotion.figures.canvas import LINES, MARKERS, Theme, draw
from mm_emotion.metrics.delay import DelayCurve
from mm_emotion.metrics.intensities import LabelSets

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def label_sets_figure(sets: LabelSets, path: Path, title: str, most: int = 20) -> list[Path]:
    """Draw how often each combination of emotions occurs, the `most` frequent ones, and how many an utterance has."""
    shown = list(sets.combinations.items())[:most]
    names = [" + ".join(names) or "none" for names, _ in shown]
    shares = 100 * np.array([count for _, count in shown]) / sets.count

    def paint(axes: "Axes", theme: Theme) -> None:
        bars = axes.barh(names, shares, color=theme.series[0], height=0.7)
        axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=7)
        axes.invert_yaxis()
        axes.set(xlabel="% of the utterances")
        axes.margins(x=0.12)
        inset = axes.inset_axes((0.62, 0.08, 0.36, 0.42))
        inset.bar(range(len(sets.sizes)), 100 * sets.sizes / sets.count, color=theme.series[1])
        inset.set_xticks(range(len(sets.sizes)))
        inset.set_title("emotions in an utterance, %", fontsize=8)

    return draw(path, (8.0, 1.6 + 0.27 * len(shown)), title, paint)


def delay_figure(curves: Mapping[str, DelayCurve], path: Path, title: str) -> list[Path]:
    """Draw CCC against the delay of the annotations, a line for each name of `curves` with its best delay marked."""

    def paint(axes: "Axes", theme: Theme) -> None:
        for index, (name, curve) in enumerate(curves.items()):
            colour = theme.series[index % len(theme.series)]
            look = {"color": colour, "linestyle": LINES[index % len(LINES)]}
            best = curve.best
            label = name if np.isnan(best) else f"{name}: best at {best:.1f} s"
            axes.plot(curve.seconds, curve.values, label=label, **look)
            if not np.isnan(best):
                axes.plot(best, np.nanmax(curve.values), color=colour, marker=MARKERS[index % len(MARKERS)])
        axes.set(xlabel="delay of the annotation (s)", ylabel="CCC")
        axes.grid(True, linewidth=0.5)
        axes.legend(loc="best")

    return draw(path, (7.0, 4.2), title, paint)


def importance_figure(shares: Mapping[str, Mapping[str, float]], path: Path, title: str) -> list[Path]:
    """Draw the signed share of each modality in a late fusion, a group of bars for each dimension of `shares`."""
    modalities = list(dict.fromkeys(name for row in shares.values() for name in row))

    def paint(axes: "Axes", theme: Theme) -> None:
        width = 0.8 / len(modalities)
        for index, modality in enumerate(modalities):
            places = np.arange(len(shares)) + (index - (len(modalities) - 1) / 2) * width
            heights = [100 * row.get(modality, 0.0) for row in shares.values()]
            hatch = ("", "//", "..", "xx")[index % 4]
            bars = axes.bar(places, heights, width, label=modality, color=theme.series[index], hatch=hatch)
            axes.bar_label(bars, fmt="%.0f", padding=2, fontsize=7)
        axes.axhline(0, color=theme.ink, linewidth=0.8)
        axes.set_xticks(range(len(shares)), list(shares))
        axes.set(ylabel="relative importance, % (with the sign of the coefficient)")
        axes.margins(y=0.12)
        axes.legend(loc="best")

    return draw(path, (3.0 + 1.6 * len(shares), 4.4), title, paint)
