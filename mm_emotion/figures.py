"""Pictures of results, drawn with matplotlib (extra `figures`)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mm_emotion.atomic import replace_file
from mm_emotion.errors import MissingExtraError


def confusion_figure(counts: np.ndarray, names: Sequence[str], path: Path, title: str) -> None:
    """Draw a confusion matrix (K, K), rows the labels and columns the predictions, as row percentages with counts."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "figures") from error
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    size = 2.2 + 0.85 * len(names)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(names)):
        for column in range(len(names)):
            dark = shares[row, column] > 0.55
            text = f"{100 * shares[row, column]:.0f}%\n{counts[row, column]}"
            axes.text(column, row, text, ha="center", va="center", fontsize=9, color="white" if dark else "#222")
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="predicted", ylabel="labelled", title=title)
    figure.colorbar(image, ax=axes, label="share of the labelled class", fraction=0.046)
    with replace_file(path) as temporary:
        figure.savefig(temporary, dpi=130, format="png", bbox_inches="tight")
