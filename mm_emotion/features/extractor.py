"""The feature extractor of a processor: sound, picture and motion of an utterance to scaled arrays."""

import json
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from transformers import FeatureExtractionMixin

from mm_emotion.atomic import replace_file
from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features import sources
from mm_emotion.features.column import ColumnFeature, check_known
from mm_emotion.features.scaling import Scaling, Statistics
from mm_emotion.features.selection import select_values
from mm_emotion.schema import IGNORE_INDEX

FILE_NAME = "features.safetensors"
"""What was fitted on the training utterances, beside the processor's JSON."""

RAW = "raw_"
"""Before a column's name: what its feature made before scaling, where many processors are fitted on the same rows."""

_FILE_KEYS = ("feature_extractor_type", "processor_class", "auto_map")  # what transformers adds to a saved extractor


class EmotionFeatureExtractor(FeatureExtractionMixin):
    """Utterance rows to the arrays of the columns in `features`, each a mapping of options (`ColumnFeature.parse`).

    What is fitted is in `scalings` (column -> Scaling) and goes to a file of its own; `fitted` says how many values
    each column's has, `text_dimensions` how many the processor's latent semantic vectors have (0 for none) and
    `tokenizer_length` the most ids of its pretrained tokenizer (0 for none), so that a lost file is noticed. Errors:
    FeatureError for an unknown feature or option, CheckpointError for a saved version other than the installed one.
    """

    model_input_names = ["audio", "visual", "mocap"]  # noqa: RUF012 (declared this way by the base)

    def __init__(
        self,
        features: dict[str, dict] | None = None,
        fitted: dict[str, int] | None = None,
        text_dimensions: int = 0,
        tokenizer_length: int = 0,
        **kwargs,
    ):
        check_known("feature extractor", kwargs, _FILE_KEYS)
        super().__init__(**kwargs)
        self.columns = {column: ColumnFeature.parse(column, options) for column, options in (features or {}).items()}
        self.features = {column: feature.options() for column, feature in self.columns.items()}
        self.fitted = dict(fitted or {})
        self.text_dimensions = text_dimensions
        self.tokenizer_length = tokenizer_length
        self.scalings: dict[str, Scaling] = {}
        self.skipped: dict[str, dict[str, str]] = {column: {} for column in self.columns}

    @property
    def licences(self) -> dict[str, str]:
        """Column -> licence of the features that were computed with software under one of its own."""
        kinds = {column: feature.kind.licence for column, feature in self.columns.items()}
        return {column: licence for column, licence in kinds.items() if licence is not None}

    def to_dict(self) -> dict:
        """As in transformers, without what is derived from the options or has a file of its own."""
        return {key: value for key, value in super().to_dict().items() if key not in ("columns", "scalings", "skipped")}

    def extract(self, column: str, row: dict) -> np.ndarray | None:
        """What the feature of a column makes of an utterance, before scaling; None where the utterance lacks it.

        With `on_error: skip` also where its media cannot be read; `skipped` then says why, by utterance. A row that
        holds it already, under `RAW` and the column's name, gives that.
        """
        if RAW + column in row:
            made = row[RAW + column]
            return None if made is None else np.asarray(made, dtype=np.float32)
        kind = self.columns[column].kind
        try:
            if column == "audio":
                media = sources.sound(row, self.columns[column].channel)
            elif column == "visual":
                media = sources.picture(row)
            else:
                media = sources.motion(row, kind.needed)
            return None if media is None else kind(*media)
        except FeatureError as error:
            if self.columns[column].on_error == "skip":
                self.skipped[column][str(row.get("utterance_id"))] = str(error)
                return None
            if row.get("utterance_id") is None:
                raise
            field = f"{error.field} (utterance {row['utterance_id']!r})"
            raise FeatureError(field, error.expected, error.given, error.hint) from error

    def __call__(self, column: str, row: dict) -> np.ndarray | None:
        """The finished array of a column: (D,), (T, D) or (C, F, Y, X) float32; None where the utterance lacks it."""
        array = self.extract(column, row)
        if array is None:
            return None
        feature = self.columns[column]
        if feature.is_fitted_on_training and column not in self.scalings:
            raise FeatureError(f"scaling of {column}", "what training utterances say", "nothing", "fit or load it")
        return feature.finish(array, self.scalings.get(column))

    def fitting(self) -> "Fitting":
        """Collects training utterances, then sets `scalings`."""
        return Fitting(self)

    def save_arrays(self, folder: str | os.PathLike) -> list[str]:
        """Write `features.safetensors` into a folder where anything is fitted; returns its path, if any."""
        path = Path(folder) / FILE_NAME
        tensors = {
            f"{column}.{name}": np.ascontiguousarray(values)
            for column, scaling in self.scalings.items()
            for name, values in scaling.tensors().items()
        }
        if not tensors:
            path.unlink(missing_ok=True)
            return []
        with replace_file(path) as temporary:
            save_file(tensors, temporary, metadata={"features": json.dumps(self.features, sort_keys=True)})
        return [str(path)]

    def load_arrays(self, path: str | os.PathLike | None, where: str) -> None:
        """Read what `save_arrays` wrote; CheckpointError for a file that is missing, damaged or of other features."""
        tensors: dict[str, np.ndarray] = {}
        if path is not None:
            try:
                with safe_open(path, framework="np") as file:
                    tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                    options = json.loads((file.metadata() or {}).get("features", "null"))
            except (OSError, SafetensorError, json.JSONDecodeError) as error:
                raise CheckpointError(str(path), "intact fitted features", repr(error)) from error
            if options != json.loads(json.dumps(self.features)):
                raise CheckpointError(str(path), "what was fitted for these features", "other features")
        self.scalings = {}
        for column, feature in self.columns.items():
            if not feature.is_fitted_on_training:
                continue
            found = {name: tensors.get(f"{column}.{name}") for name in ("offset", "scale", "indices")}
            if found["offset"] is None or found["scale"] is None:
                expected = f"mean and scale of training utterances for {column}"
                raise CheckpointError(f"{FILE_NAME} of {where}", expected, "none", "fit the processor again")
            scaling = Scaling(**found)
            if len(scaling.offset) != self.fitted.get(column):
                raise CheckpointError(
                    f"{FILE_NAME} of {where}", f"{self.fitted.get(column)} values", len(scaling.offset)
                )
            self.scalings[column] = scaling


class Fitting:
    """Training utterances on their way into the scalings of an extractor."""

    def __init__(self, extractor: EmotionFeatureExtractor):
        self.extractor = extractor
        self.wanted = {name: feature for name, feature in extractor.columns.items() if feature.is_fitted_on_training}
        self.statistics = {column: Statistics() for column in self.wanted}
        self.tables: dict[str, list[np.ndarray]] = {column: [] for column in self.wanted}
        self.labels: dict[str, list[int]] = {column: [] for column in self.wanted}

    def add(self, row: dict) -> None:
        """Count one utterance; a selection also reads its `label`."""
        for column, feature in self.wanted.items():
            array = self.extractor.extract(column, row)
            if array is None:
                continue
            self.statistics[column].add(array)
            if feature.selection is not None and row.get("label") not in (None, IGNORE_INDEX):
                self.tables[column].append(array)
                self.labels[column].append(row["label"])

    def add_all(self, rows: Iterable[dict]) -> "Fitting":
        for row in rows:
            self.add(row)
        return self

    def finish(self) -> None:
        """Set the extractor's scalings; FeatureError where no utterance had the feature or labels are needed."""
        for column, feature in self.wanted.items():
            scaling = self.statistics[column].scaling(feature.scaling)
            if feature.selection is not None:
                if not self.labels[column]:
                    raise FeatureError(f"selection of {column}", "labelled training utterances", "none")
                table = scaling(np.stack(self.tables[column]))  # (N, D)
                chosen = select_values(table, np.asarray(self.labels[column]), feature.selected, feature.selection)
                scaling = Scaling(scaling.offset[chosen], scaling.scale[chosen], chosen)
            self.extractor.scalings[column] = scaling
            self.extractor.fitted[column] = len(scaling.offset)
