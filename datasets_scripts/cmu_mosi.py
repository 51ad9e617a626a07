"""CMU-MOSI (Zadeh et al., 2016): 93 videos of opinions, sentiment from -3 to 3.

python -m datasets_scripts.cmu_mosi --data-dir CMU_MOSI --folds folds.json --out prepared/cmu_mosi
python -m datasets_scripts.cmu_mosi --data-dir MOSI_VECTORS --config bclstm --out prepared/cmu_mosi_vectors
"""

import sys
from pathlib import Path

import datasets
import numpy as np

from datasets_scripts._bclstm import VECTORS, find_table, read_arrays, table_rows
from datasets_scripts._builder import UTTERANCE_FEATURES, main
from datasets_scripts._cmu import PATTERNS, CmuBuilder, CmuConfig
from mm_emotion.errors import CorpusError
from mm_emotion.schema import LABEL_SETS


class CmuMosi(CmuBuilder):
    """CMU-MOSI from the folder of its computational sequences (.csd), or of the vectors of bc-LSTM (.npz, .csv)."""

    DEFAULT_CONFIG_NAME = "binary"
    BUILDER_CONFIGS = [  # noqa: RUF012
        CmuConfig(name="binary", description="Sentiment of at least 0 is positive; the number is kept beside it."),
        CmuConfig(name="bclstm", description="The same labels with one vector a modality, and the split of bc-LSTM."),
    ]

    def _info(self):
        if self.config.name != "bclstm":
            return super()._info()
        for option in ("folds", *PATTERNS, "media", "align", "steps"):
            if vars(self.config)[option]:
                raise CorpusError(option, "nothing with the config bclstm", repr(vars(self.config)[option]))
        self._table = find_table(Path(self.config.data_dir))
        self._arrays = read_arrays(self._table)
        features = {**UTTERANCE_FEATURES, **self.label_features(), "sdk_fold": datasets.Value("string")}
        vector = datasets.List(datasets.Value("float32"))
        features |= {modality: vector for modality, array in VECTORS.items() if array in self._arrays}
        return datasets.DatasetInfo(
            description="A row is a labelled segment of a video; a video is a dialogue of one speaker. Feature columns "
            "hold one vector a segment; those of text were trained on the labels of the train part.",
            features=datasets.Features(features),
            homepage="http://multicomp.cs.cmu.edu/",
        )

    def read_rows(self, root: Path) -> list[dict]:
        """Rows, with their features where they come from one table; raises CorpusError."""
        if self.config.name != "bclstm":
            return super().read_rows(root)
        return table_rows(self._table, self._arrays, self.manifest)

    def _generate_examples(self, rows):
        yield from enumerate(rows) if self.config.name == "bclstm" else super()._generate_examples(rows)

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
