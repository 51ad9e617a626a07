"""What corpora of continuous affect share: a recording is a dialogue, a frame an utterance with `affect` numbers."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np

from datasets_scripts._builder import UTTERANCE_FEATURES, CorpusBuilder, audio_path
from datasets_scripts._frames import Frames, partition, read_frames
from mm_emotion.errors import CorpusError
from mm_emotion.schema import AFFECT_DIMENSIONS

VERSION = datasets.Version("1.0.0")
MODALITIES = ("text", "audio", "visual")
SUFFIXES = (".csv", ".arff", ".txt")
_FOLDER = "folder below the corpus with one csv or arff of {} features a recording"


@dataclass
class FramesConfig(datasets.BuilderConfig):
    """Which folders hold labels, features and media; paths start from the folder of the corpus."""

    version: datasets.Version = VERSION
    labels: str = field(default="", metadata={"help": "folder of the gold standard (default: found by its name)"})
    text: str = field(default="", metadata={"help": _FOLDER.format("text")})
    audio: str = field(default="", metadata={"help": _FOLDER.format("audio")})
    visual: str = field(default="", metadata={"help": _FOLDER.format("video")})
    recordings: str = field(default="", metadata={"help": "folder of the sound files, one a recording (.wav)"})


class FramesBuilder(CorpusBuilder):
    """Base of SEWA, RECOLA and SEMAINE: a subclass names its corpus, frame step, places and reads a recording."""

    BUILDER_CONFIG_CLASS = FramesConfig
    DEFAULT_CONFIG_NAME = "frames"
    # A frame may hold 4 500 numbers.
    DEFAULT_WRITER_BATCH_SIZE = 500
    CORPUS = ""
    STEP = 0.1
    PLACES: tuple[str, ...] = ()

    @property
    def dimensions(self) -> tuple[str, ...]:
        """The affect dimensions, in the order of `affect`."""
        return AFFECT_DIMENSIONS[self.CORPUS]

    def label_files(self, folder: Path) -> dict[str, list[Path]]:
        """Recording -> its label files below `folder`."""
        return {path.stem: [path] for path in _tables(folder)}

    def read_labels(self, recording: str, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
        """Times (N,) and values (N, K) in the order of `dimensions`, NaN where a frame has none."""
        return self.ordered(paths[0], read_frames(paths[0]))

    def partition(self, recording: str) -> str | None:
        """The part of a recording, None where it says none."""
        return partition(recording)

    def ordered(self, path: Path, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
        """The columns of `dimensions` by their names; raises CorpusError where one is not there."""
        lowered = [name.lower() for name in frames.names]
        for dimension in self.dimensions:
            if dimension not in lowered:
                raise CorpusError(str(path), f"a column {dimension}", ", ".join(frames.names)[:200])
        return frames.times, frames.values[:, [lowered.index(dimension) for dimension in self.dimensions]]

    def _info(self):
        root = Path(self.config.data_dir)
        self._features = {name: self._folder(root, name) for name in MODALITIES if vars(self.config)[name]}
        affect = datasets.List(datasets.Value("float32"), length=len(self.dimensions))
        vector = datasets.List(datasets.Value("float32"))
        return datasets.DatasetInfo(
            description=f"A recording is a dialogue, a frame of {self.STEP} s an utterance; `affect` is "
            f"{', '.join(self.dimensions)}, NaN where it is withheld.",
            features=datasets.Features(
                {**UTTERANCE_FEATURES, "affect": affect, **dict.fromkeys(self._features, vector)}
            ),
        )

    def _folder(self, root: Path, option: str) -> Path:
        folder = root / vars(self.config)[option]
        if not folder.is_dir():
            raise CorpusError(option, "a folder below the corpus", f"{str(folder)!r}, which is none")
        return folder

    def _labels_folder(self, root: Path) -> Path:
        if self.config.labels:
            return self._folder(root, "labels")
        found = next((root / place for place in self.PLACES if (root / place).is_dir()), None)
        if found is None:
            raise CorpusError(str(root), f"a folder {' or '.join(self.PLACES)}", "none", "name it with --labels")
        return found

    def read_rows(self, root: Path) -> list[dict]:
        """One row a frame, without its features, which are read when they are written; raises CorpusError."""
        labels = self.label_files(self._labels_folder(root))
        if not labels:
            raise CorpusError(str(self._labels_folder(root)), "label files of recordings", "none")
        self._files = {name: _by_recording(folder) for name, folder in self._features.items()}
        given = {recording for files in self._files.values() for recording in files}
        rows: list[dict] = []
        for recording in sorted(labels.keys() | given):
            split = self.partition(recording)
            if split is None:
                self.manifest.note("disagreeing", "recording whose name says no partition", recording)
            times, values = self._labels_of(recording, labels)
            sound = ""
            if self.config.recordings:
                place = root / self.config.recordings / f"{recording}.wav"
                sound = audio_path(place, recording, self.manifest)
            self.manifest.found[f"recordings of {split or 'no partition'}"] += 1
            rows += self._rows(recording, split or "all", times, values, sound)
        return rows

    def _labels_of(self, recording: str, labels: dict[str, list[Path]]) -> tuple[np.ndarray, np.ndarray]:
        if recording in labels:
            times, values = self.read_labels(recording, labels[recording])
            steps = np.diff(times)
            if len(steps) and not np.allclose(steps, self.STEP, atol=self.STEP / 10):
                self.manifest.note("disagreeing", f"frames that are not {self.STEP} s apart", recording)
            self.manifest.found["frames without a label"] += int(np.isnan(values).any(axis=1).sum())
            return times, values
        self.manifest.note("missing", "labels (withheld)", recording)
        path = next(files[recording] for files in self._files.values() if recording in files)
        times = read_frames(path).times
        return times, np.full((len(times), len(self.dimensions)), np.nan)

    def _rows(self, recording: str, split: str, times: np.ndarray, values: np.ndarray, sound: str) -> list[dict]:
        return [
            {
                "utterance_id": f"{recording}_{index:06d}",
                "dialogue_id": recording,
                "position": index,
                "party": 0,
                "speaker": recording,
                "transcript": "",
                "audio_path": sound,
                "video_path": "",
                "start": time,
                "end": time + self.STEP,
                "split": split,
                "affect": affect,
            }
            for index, (time, affect) in enumerate(zip(times.tolist(), values.tolist(), strict=True))
        ]

    def _generate_examples(self, rows):
        recording, features = None, {}
        widths: dict[str, int] = {}
        for index, row in enumerate(rows):
            if row["dialogue_id"] != recording:
                recording = row["dialogue_id"]
                own = np.array([r["start"] for r in _following(rows, index, recording)])
                # One recording at a time is all that is held.
                features = {name: self._aligned(name, recording, own, widths) for name in self._files}
            yield index, {**row, **{name: vectors[row["position"]] for name, vectors in features.items()}}

    def _aligned(self, name: str, recording: str, times: np.ndarray, widths: dict[str, int]) -> list[np.ndarray | None]:
        """One vector a frame, that of the nearest time within half a step, else None, and counts of what differs."""
        path = self._files[name].get(recording)
        if path is None:
            self.manifest.note("missing", f"{name} features", recording)
            return [None] * len(times)
        frames = read_frames(path)
        width = widths.setdefault(name, frames.values.shape[1])
        if frames.values.shape[1] != width or width == 0:
            raise CorpusError(
                str(path), f"{width or 'some'} values a frame, as other recordings", frames.values.shape[1]
            )
        bad = ~np.isfinite(frames.values)
        if bad.any():
            self.manifest.found[f"{name} values that are not numbers, taken as 0"] += int(bad.sum())
        values = np.where(bad, 0.0, frames.values).astype(np.float32)
        after = np.clip(np.searchsorted(frames.times, times), 1, max(len(frames.times) - 1, 1))
        nearest = np.where(
            np.abs(frames.times[after - 1] - times) <= np.abs(frames.times[np.minimum(after, len(values) - 1)] - times),
            after - 1,
            np.minimum(after, len(values) - 1),
        )
        near = np.abs(frames.times[nearest] - times) <= self.STEP / 2
        if not near.all():
            self.manifest.note("missing", f"{name} of some frames", f"{recording} x{int((~near).sum())}")
        unused = len(values) - len(set(nearest[near].tolist()))
        if unused:
            self.manifest.note("dropped", f"{name} without a frame of labels", f"{recording} x{unused}")
        return [values[index] if fits else None for index, fits in zip(nearest.tolist(), near.tolist(), strict=True)]


def _following(rows: tuple[dict, ...], index: int, recording: str) -> Iterator[dict]:
    while index < len(rows) and rows[index]["dialogue_id"] == recording:
        yield rows[index]
        index += 1


def _tables(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _by_recording(folder: Path) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in _tables(folder):
        if path.stem in files:
            raise CorpusError(str(folder), "one file a recording", f"{files[path.stem]} and {path}")
        files[path.stem] = path
    if not files:
        raise CorpusError(str(folder), f"files {', '.join(SUFFIXES)}", "none")
    return files
