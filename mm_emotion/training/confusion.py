"""The confusion matrix that is saved with a system, so that its card can show each class without the corpus."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mm_emotion import metrics
from mm_emotion.atomic import replace_file
from mm_emotion.errors import CheckpointError
from mm_emotion.training.evaluation import Prediction

FILE_NAME = "confusion_matrix.json"


@dataclass(frozen=True)
class Confusion:
    """Counts (K, K) of a part of the corpus, rows the labels and columns the predictions, and the names of both."""

    part: str
    names: tuple[str, ...]
    counts: np.ndarray

    @property
    def recall(self) -> np.ndarray:
        """(K,): the share of each labelled class that was found; 0 where there is none."""
        return _share(np.diag(self.counts), self.counts.sum(axis=1))

    @property
    def f1(self) -> np.ndarray:
        """(K,): the harmonic mean of each class's precision and recall; 0 where it occurs in neither."""
        return _share(2 * np.diag(self.counts), self.counts.sum(axis=0) + self.counts.sum(axis=1))


def write_confusion(folder: Path, part: str, prediction: Prediction, names: Sequence[str]) -> None:
    """Write the counts of the labelled rows of `prediction` into a folder."""
    valid = prediction.valid
    counts = metrics.confusion_matrix(prediction.classes[valid], prediction.labels[valid], num_classes=len(names))
    record = {"part": part, "names": list(names), "counts": counts.astype(int).tolist()}
    with replace_file(Path(folder) / FILE_NAME) as temporary:
        temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")


def read_confusion(folder: Path) -> Confusion | None:
    """The saved counts, None where a folder has none; raises CheckpointError for a file that is something else."""
    path = Path(folder) / FILE_NAME
    if not path.is_file():
        return None
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        part, names, counts = str(record["part"]), tuple(record["names"]), np.asarray(record["counts"], dtype=np.int64)
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(str(path), "part, names and counts", error) from error
    if counts.shape != (len(names), len(names)) or (counts < 0).any():
        raise CheckpointError(str(path), f"counts of {len(names)} by {len(names)} classes", f"shape {counts.shape}")
    return Confusion(part, names, counts)


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
