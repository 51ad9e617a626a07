"""CMU-MOSI (Zadeh et al., 2016), from computational sequences: 93 videos of opinions, sentiment from -3 to 3.

python -m datasets_scripts.cmu_mosi --data-dir CMU_MOSI --folds folds.json --out prepared/cmu_mosi
"""

import sys
from pathlib import Path

import datasets
import numpy as np

from datasets_scripts._builder import main
from datasets_scripts._cmu import CmuBuilder, CmuConfig
from mm_emotion.errors import CorpusError
from mm_emotion.schema import LABEL_SETS


class CmuMosi(CmuBuilder):
    """CMU-MOSI from the folder of its computational sequences (.csd)."""

    DEFAULT_CONFIG_NAME = "binary"
    BUILDER_CONFIGS = [  # noqa: RUF012
        CmuConfig(name="binary", description="Sentiment of at least 0 is positive; the number is kept beside it.")
    ]

    def label_features(self) -> dict:
        names = list(LABEL_SETS["cmu_mosi"]["binary"])
        return {"label": datasets.ClassLabel(names=names), "sentiment": datasets.Value("float32")}

    def label_values(self, path: Path, names: list[str], values: np.ndarray) -> dict:
        if len(values) != 1:
            raise CorpusError(str(path), "one value a segment, its sentiment", len(values))
        sentiment = float(values[0])
        self.manifest.found["sentiment of exactly 0"] += sentiment == 0
        return {"label": "positive" if sentiment >= 0 else "negative", "sentiment": sentiment}


if __name__ == "__main__":
    from datasets_scripts.cmu_mosi import CmuMosi as Builder

    sys.exit(main(Builder))
