"""What every figure shares: one file on a light and one on a dark ground, legible in grey, drawn with matplotlib."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mm_emotion.atomic import replace_file
from mm_emotion.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Theme:
    """Colours of one ground; `series` are told apart in grey by their markers and line styles too."""

    ground: str
    ink: str
    faint: str
    low: str
    high: str
    series: tuple[str, ...]


LIGHT = Theme(
    ground="#ffffff",
    ink="#1f2328",
    faint="#c9d1d9",
    low="#f3f7fb",
    high="#08306b",
    series=("#0072b2", "#d55e00", "#007a5a", "#b0468a", "#8a6d00", "#4b5563", "#2aa1d8", "#7a4b12"),
)
DARK = Theme(
    ground="#0d1117",
    ink="#e6edf3",
    faint="#3d444d",
    low="#161d27",
    high="#9fd0ff",
    series=("#56b4e9", "#ff9d57", "#3ddc97", "#f29ad0", "#f0d457", "#aab4c0", "#8fb8ff", "#d9a066"),
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")

Paint = Callable[["Axes", Theme], None]


def draw(path: Path, size: tuple[float, float], title: str, paint: Paint) -> list[Path]:
    """Let `paint` fill the axes of a figure of `size` (inches) on either ground; returns the two PNG files.

    The light one is `path`, the dark one has `_dark` before its ending. Errors: MissingExtraError without matplotlib.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "figures") from error
    path = Path(path)
    paths = [path, path.with_stem(f"{path.stem}_dark")]
    for target, theme in zip(paths, (LIGHT, DARK), strict=True):
        with rc_context(_style(theme)):
            figure = Figure(figsize=size, layout="constrained")
            FigureCanvasAgg(figure)
            axes = figure.add_subplot()
            axes.set_title(title)
            paint(axes, theme)
            with replace_file(target) as temporary:
                figure.savefig(temporary, dpi=130, format="png", bbox_inches="tight")
    return paths


def _style(theme: Theme) -> dict:
    ink = ("text.color", "axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color", "legend.labelcolor")
    return {
        **dict.fromkeys(ink, theme.ink),
        **dict.fromkeys(("figure.facecolor", "axes.facecolor", "savefig.facecolor"), theme.ground),
        **dict.fromkeys(("axes.edgecolor", "grid.color"), theme.faint),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.titlesize": 11,
        "legend.frameon": False,
        "font.size": 9,
    }
