"""RECOLA as the challenges AVEC 2015 and 2016 gave it: arousal and valence every 0.04 s, one arff or csv a dimension.

    python -m datasets_scripts.recola --data-dir AVEC2016 --audio features_audio/arousal --out prepared/recola

The gold standard lies in `ratings_gold_standard/<dimension>/<partition>_<number>.arff` (or .csv) with the columns
frameTime and GoldStandard. The test labels are withheld.
"""

import sys
from pathlib import Path

import numpy as np

from datasets_scripts._avec import FramesBuilder, FramesConfig
from datasets_scripts._builder import main
from datasets_scripts._frames import read_frames
from mm_emotion.errors import CorpusError

GOLD = ("goldstandard", "gold_standard")


class Recola(FramesBuilder):
    """RECOLA from a folder of an AVEC challenge (2015, 2016)."""

    BUILDER_CONFIGS = [FramesConfig(name="frames", description="A frame each 0.04 s.")]  # noqa: RUF012
    CORPUS = "recola"
    STEP = 0.04
    PLACES = ("ratings_gold_standard", "gold_standard", "labels")

    def label_files(self, folder: Path) -> dict[str, list[Path]]:
        files: dict[str, list[Path]] = {}
        for dimension in self.dimensions:
            if not (folder / dimension).is_dir():
                raise CorpusError(str(folder), f"a folder {dimension}", "none")
            for path in sorted((folder / dimension).iterdir()):
                if path.suffix.lower() in (".arff", ".csv"):
                    files.setdefault(path.stem, []).append(path)
        return files

    def read_labels(self, recording: str, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
        by_dimension = {path.parent.name: path for path in paths}
        if len(paths) != len(self.dimensions):
            given = ", ".join(sorted(str(path) for path in paths))
            raise CorpusError(f"labels of {recording}", f"one file each of {', '.join(self.dimensions)}", given)
        columns, times = [], None
        for dimension in self.dimensions:
            path = by_dimension[dimension]
            frames = read_frames(path)
            lowered = [name.lower() for name in frames.names]
            column = next((lowered.index(name) for name in (*GOLD, dimension) if name in lowered), None)
            if column is None:
                raise CorpusError(str(path), "a column GoldStandard", ", ".join(frames.names))
            if times is not None and (len(times) != len(frames.times) or not np.allclose(times, frames.times)):
                expected = f"the {len(times)} frames of {self.dimensions[0]}"
                raise CorpusError(str(path), expected, f"{len(frames.times)} frames, or other times")
            times = frames.times
            columns.append(frames.values[:, column])
        return times, np.stack(columns, axis=1)


if __name__ == "__main__":
    from datasets_scripts.recola import Recola as Builder

    sys.exit(main(Builder))
