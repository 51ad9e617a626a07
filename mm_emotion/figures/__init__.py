"""Pictures of results, each on a light and on a dark ground, drawn with matplotlib (extra `figures`)."""

from mm_emotion.figures.classes import calibration_figure, confusion_figure, projection_figure
from mm_emotion.figures.runs import (
    bars_figure,
    curves_figure,
    intensities_figure,
    parameters_figure,
    spread_figure,
)

__all__ = [
    "bars_figure",
    "calibration_figure",
    "confusion_figure",
    "curves_figure",
    "intensities_figure",
    "parameters_figure",
    "projection_figure",
    "spread_figure",
]
