"""SEMAINE: valence, arousal, expectancy and power, as AVEC 2012 gave it or from the sessions' own traces.

    python -m datasets_scripts.semaine --data-dir AVEC2012 --labels labels --out prepared/semaine
    python -m datasets_scripts.semaine --data-dir Sessions --config sessions --out prepared/semaine

`frames` reads one file a recording and dimension, `<partition>_<number>_<dimension>.csv` (or .arff, .txt, .dat): values
at the video's 49.979 frames a second, alone or behind a time. `sessions` reads files
`R<rater>S<session>TUC<character>D<letter>.txt` (time and value a line): traces of the user, taken at each 0.02 s and
averaged over raters where all of them go on.
"""

import re
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from datasets_scripts._arff import number_of, numbered_lines
from datasets_scripts._avec import FramesBuilder, FramesConfig
from datasets_scripts._builder import main
from datasets_scripts._frames import read_frames
from mm_emotion.errors import CorpusError

RATE = 49.979
"""Video frames a second."""

TRACE = re.compile(r"R(\d+)S(\d+)TUC([A-Z][a-z])D?([VAEP])")
LETTERS = {"V": "valence", "A": "arousal", "E": "expectancy", "P": "power"}
_NAMED = {**{name: name for name in LETTERS.values()}, "expectation": "expectancy", "activation": "arousal"}


class Semaine(FramesBuilder):
    """SEMAINE from the folder of AVEC 2012, or from that of its own sessions."""

    BUILDER_CONFIGS = [  # noqa: RUF012
        FramesConfig(name="frames", description="AVEC 2012: a value each video frame, partitions by name."),
        FramesConfig(name="sessions", description="The sessions' own traces, averaged over raters."),
    ]
    CORPUS = "semaine"
    STEP = 1 / RATE
    PLACES = ("labels", "labels_continuous", "Sessions", ".")

    def label_files(self, folder: Path) -> dict[str, list[Path]]:
        files: dict[str, list[Path]] = defaultdict(list)
        suffixes = (".txt",) if self.config.name == "sessions" else (".csv", ".arff", ".txt", ".dat")
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in suffixes or not path.is_file():
                continue
            if self.config.name == "sessions":
                if found := TRACE.fullmatch(path.stem):
                    files[f"session{int(found[2]):03d}"].append(path)
                continue
            recording, separator, dimension = path.stem.rpartition("_")
            if separator and dimension.lower() in _NAMED:
                files[recording].append(path)
        return dict(files)

    def read_labels(self, recording: str, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
        traces: dict[str, list[tuple[np.ndarray, np.ndarray]]] = defaultdict(list)
        for path in paths:
            found = TRACE.fullmatch(path.stem) if self.config.name == "sessions" else None
            dimension = LETTERS[found[4]] if found else _NAMED[path.stem.rpartition("_")[2].lower()]
            traces[dimension].append(self._trace(path))
        if self.config.name == "frames":
            for dimension in self.dimensions:
                if len(traces[dimension]) != 1:
                    raise CorpusError(f"labels of {recording}", f"one file of {dimension}", len(traces[dimension]))
            lengths = {len(traces[dimension][0][0]) for dimension in self.dimensions}
            if len(lengths) > 1:
                raise CorpusError(f"labels of {recording}", "as many frames of each dimension", sorted(lengths))
            times = traces[self.dimensions[0]][0][0]
            return times, np.stack([traces[dimension][0][1] for dimension in self.dimensions], axis=1)
        return self._averaged(recording, traces)

    def _averaged(self, recording: str, traces: dict) -> tuple[np.ndarray, np.ndarray]:
        every = [times for raters in traces.values() for times, _ in raters]
        first, last = max(times[0] for times in every), min(times[-1] for times in every)
        times = np.arange(np.ceil(first / self.STEP), np.floor(last / self.STEP) + 1) * self.STEP
        if not len(times):
            raise CorpusError(f"traces of {recording}", "a stretch that all of them cover", f"{first} to {last} s")
        values = np.full((len(times), len(self.dimensions)), np.nan)
        for column, dimension in enumerate(self.dimensions):
            if not traces[dimension]:
                self.manifest.note("missing", f"traces of {dimension}", recording)
                continue
            self.manifest.found[f"traces of {dimension}"] += len(traces[dimension])
            values[:, column] = np.mean([np.interp(times, *trace) for trace in traces[dimension]], axis=0)
        return times, values

    def _trace(self, path: Path) -> tuple[np.ndarray, np.ndarray]:
        """Times (N,) and one value each; a file of values alone has the video's times."""
        if path.suffix.lower() in (".txt", ".dat"):
            lines = list(numbered_lines(path))
            if lines and all(len(line.split()) == 1 and ";" not in line and "," not in line for _, line in lines):
                values = np.array([number_of(f"{path}, line {number}", line) for number, line in lines])
                return np.arange(len(values)) / RATE, values
        frames = read_frames(path)
        if frames.values.shape[1] != 1:
            raise CorpusError(str(path), "one value a frame", frames.values.shape[1])
        return frames.times, frames.values[:, 0]

    def partition(self, recording: str) -> str | None:
        # The sessions' own release has no partitions.
        return "all" if self.config.name == "sessions" else super().partition(recording)


if __name__ == "__main__":
    from datasets_scripts.semaine import Semaine as Builder

    sys.exit(main(Builder))
