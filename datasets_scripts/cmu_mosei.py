"""CMU-MOSEI (Zadeh et al., 2018), from computational sequences: sentiment and six intensities of emotion.

    python -m datasets_scripts.cmu_mosei --data-dir CMU_MOSEI --folds folds.json --out prepared/cmu_mosei

The order of the label columns is read from the metadata of the label sequence and never assumed.
"""

import sys
from pathlib import Path

import datasets
import numpy as np

from datasets_scripts._builder import main
from datasets_scripts._cmu import CmuBuilder, CmuConfig
from mm_emotion.errors import CorpusError
from mm_emotion.schema import AFFECT_DIMENSIONS

DIMENSIONS = AFFECT_DIMENSIONS["cmu_mosei"]
_WORDS = {"happiness": "happy", "sadness": "sad", "sentiment score": "sentiment"}


class CmuMosei(CmuBuilder):
    """CMU-MOSEI from the folder of its computational sequences (.csd)."""

    DEFAULT_CONFIG_NAME = "all_labels"
    BUILDER_CONFIGS = [  # noqa: RUF012
        CmuConfig(name="all_labels", description=f"Numbers: {', '.join(DIMENSIONS)}.")
    ]

    def label_features(self) -> dict:
        return {"affect": datasets.List(datasets.Value("float32"), length=len(DIMENSIONS))}

    def label_values(self, path: Path, names: list[str], values: np.ndarray) -> dict:
        known = [_WORDS.get(name.lower(), name.lower()) for name in names]
        if len(known) != len(values) or not set(DIMENSIONS) <= set(known) or len(set(known)) != len(known):
            given = f"{', '.join(names) or 'none'} for {len(values)} values"
            hint = "the order of the columns is not guessed"
            raise CorpusError(f"{path}, dimension names", f"each of {', '.join(DIMENSIONS)} once", given, hint)
        self.manifest.found["segments without any emotion"] += not any(
            values[known.index(name)] for name in DIMENSIONS[1:]
        )
        return {"affect": [float(values[known.index(name)]) for name in DIMENSIONS]}


if __name__ == "__main__":
    from datasets_scripts.cmu_mosei import CmuMosei as Builder

    sys.exit(main(Builder))
