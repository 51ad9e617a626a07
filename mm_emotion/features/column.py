"""One feature column of a processor: which feature fills it, how it is scaled, and how long its sequences are."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields

import numpy as np

from mm_emotion.errors import CheckpointError, FeatureError, nearest
from mm_emotion.features.functionals import Functionals
from mm_emotion.features.media import CHANNELS
from mm_emotion.features.mel import Mel
from mm_emotion.features.mocap import Mocap
from mm_emotion.features.opensmile import OpenSmile
from mm_emotion.features.scaling import SCALINGS, Scaling
from mm_emotion.features.selection import SELECTIONS
from mm_emotion.features.short_term import ShortTerm
from mm_emotion.features.video_clips import VideoClips
from mm_emotion.features.waveform import Waveform

Kind = Functionals | ShortTerm | Mel | OpenSmile | Waveform | VideoClips | Mocap

KINDS: dict[str, dict[str, type]] = {
    "audio": {kind.name: kind for kind in (Functionals, ShortTerm, Mel, OpenSmile, Waveform)},
    "visual": {VideoClips.name: VideoClips},
    "mocap": {Mocap.name: Mocap},
}
"""Feature column -> the features that can fill it, the first where none is named."""

_AS_IT_IS = (VideoClips, Waveform)
"""Features that no dataset keeps, as they are larger than what they are made from, and that are not scaled."""

_SIDES = ("left", "right")


@dataclass(frozen=True)
class ColumnFeature:
    """A feature with its options.

    `scaling` is one of `SCALINGS`, fitted on training utterances; clips are in [0, 1] and stay so. `selection` keeps
    the `selected` values of a vector that a linear classifier of `SELECTIONS` weighs most. `max_length` gives every
    sequence that many steps: longer ones are cut on `truncation_side`, shorter ones padded with zeros on `pad_side`.
    `on_error` "skip" makes an utterance whose media cannot be read lack the modality in place of raising. `channel` is
    what a feature of sound hears of a file of several channels, one of `media.CHANNELS`.
    Errors: FeatureError for an unknown or impossible option.
    """

    kind: Kind
    scaling: str = "standard"
    selection: str | None = None
    selected: int | None = None
    max_length: int | None = None
    pad_side: str = "right"
    truncation_side: str = "right"
    channel: str = "mean"
    on_error: str = "raise"

    def __post_init__(self):
        for field, value, known in (
            ("scaling", self.scaling, SCALINGS),
            ("selection", self.selection, (None, *SELECTIONS)),
            ("pad_side", self.pad_side, _SIDES),
            ("truncation_side", self.truncation_side, _SIDES),
            ("channel", self.channel, CHANNELS),
            ("on_error", self.on_error, ("raise", "skip")),
        ):
            if value not in known:
                raise FeatureError(field, " or ".join(map(str, known)), repr(value), nearest(value, map(str, known)))
        for field in ("selected", "max_length"):
            value = getattr(self, field)
            if value is not None and (type(value) is not int or value < 1):
                raise FeatureError(field, "an integer of at least 1, or None", repr(value))
        if (self.selection is None) != (self.selected is None):
            raise FeatureError("selection and selected", "both or neither", (self.selection, self.selected))

    @classmethod
    def parse(cls, column: str, options: dict) -> "ColumnFeature":
        """The feature that a mapping of options, as in a recipe or a saved processor, names for a column.

        Errors: FeatureError as above; CheckpointError for a saved version other than the installed one.
        """
        check_known("features", [column], KINDS)
        options = dict(options)
        name = options.pop("feature", next(iter(KINDS[column])))
        if name not in KINDS[column]:
            expected = f"one of {', '.join(KINDS[column])}"
            raise FeatureError(f"features.{column}.feature", expected, repr(name), nearest(name, KINDS[column]))
        kind = KINDS[column][name]
        version = options.pop("version", kind.version)
        if version != kind.version:
            raise CheckpointError(f"version of {name}", kind.version, version, "fit the processor again")
        own = [field.name for field in fields(kind)]
        check_known(f"features.{column}", options, [*own, *_common_options(kind)])
        if kind in _AS_IT_IS:
            options["scaling"] = "none"
        made = kind(**{key: value for key, value in options.items() if key in own})
        return cls(made, **{key: value for key, value in options.items() if key not in own})

    def options(self) -> dict:
        """The mapping that `parse` turns into this again."""
        common = {key: getattr(self, key) for key in _common_options(type(self.kind))}
        return {"feature": self.kind.name, "version": self.kind.version, **asdict(self.kind), **common}

    @property
    def is_stored(self) -> bool:
        """Whether it is worth keeping in a dataset; others are made anew whenever they are needed."""
        return not isinstance(self.kind, _AS_IT_IS)

    @property
    def is_fitted_on_training(self) -> bool:
        """Whether it needs what training utterances say."""
        return self.scaling != "none" or self.selection is not None

    def finish(self, array: np.ndarray, scaling: Scaling | None) -> np.ndarray:
        """What the feature made, (D,) or (T, D) or a clip, scaled and with the number of steps that was asked for."""
        if scaling is not None:
            array = scaling(array)
        if self.max_length is None:
            return array
        array = array[: self.max_length] if self.truncation_side == "right" else array[-self.max_length :]
        missing = self.max_length - len(array)
        return np.pad(array, ((0, missing) if self.pad_side == "right" else (missing, 0), (0, 0)))


def _common_options(kind: type) -> tuple[str, ...]:
    """The options beside the feature's own, by the number of its axes and whether it is of sound."""
    always = ("on_error", "channel") if kind in KINDS["audio"].values() else ("on_error",)
    if kind in _AS_IT_IS:
        return always
    if kind.axes == 1:
        return ("scaling", "selection", "selected", *always)
    return ("scaling", "max_length", "pad_side", "truncation_side", *always)


def check_known(field: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise FeatureError for the first of `names` that is not in `known`, with the nearest one."""
    known = list(known)
    for name in names:
        if name not in known:
            raise FeatureError(field, f"any of {', '.join(known)}", repr(name), nearest(name, known))
