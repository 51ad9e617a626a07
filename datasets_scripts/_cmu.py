"""What CMU-MOSI and CMU-MOSEI share: computational sequences beside each other, folds, silence, raw media."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import numpy as np

from datasets_scripts._alignment import Alignment
from datasets_scripts._builder import UTTERANCE_FEATURES, CorpusBuilder, audio_path, number_dialogues, read_lines
from datasets_scripts._csd import Sequence, within, words_of
from mm_emotion.errors import CorpusError

VERSION = datasets.Version("1.0.0")
SILENCE = "sp"
FOLDS = {"train": "train", "valid": "validation", "test": "test"}
WHERE_FOLDS = "a json file with the lists standard_train_fold, standard_valid_fold and standard_test_fold of video ids"
PATTERNS = {
    "text": "*TimestampedWordVectors.csd",
    "audio": "*COVAREP.csd",
    "visual": "*VisualFacet*.csd",
}
"""Modality -> name of the file that is read where no other is asked for."""


@dataclass
class CmuConfig(datasets.BuilderConfig):
    """Which sequences become features; each is a file name in the folder, or `none`."""

    version: datasets.Version = VERSION
    folds: str = field(
        default="", metadata={"help": WHERE_FOLDS, "why": "they are part of the SDK, not of this package", "file": True}
    )
    text: str = field(default="", metadata={"help": f"sequence of words as vectors (default: {PATTERNS['text']})"})
    audio: str = field(default="", metadata={"help": f"sequence of sound (default: {PATTERNS['audio']})"})
    visual: str = field(default="", metadata={"help": f"sequence of the face (default: {PATTERNS['visual']})"})
    media: str = field(default="", metadata={"help": "folder Raw of the release, for audio, video and transcripts"})
    align: str = field(
        default="", metadata={"help": "words, or another sequence: each modality then has one step for each of its own"}
    )
    collapse: str = field(
        default="weighted_average",
        metadata={"help": "what a step of --align holds: weighted_average (by the time shared) or plain_average"},
    )
    steps: str = field(
        default="", metadata={"help": "steps of each segment with --align: the last ones, zeros in front of fewer"}
    )


class CmuBuilder(CorpusBuilder):
    """Base of the two: a subclass says what the columns of the label sequence become."""

    BUILDER_CONFIG_CLASS = CmuConfig
    # A row may hold seconds of 100 vectors each: few at a time.
    DEFAULT_WRITER_BATCH_SIZE = 16
    LABELS = "*Labels.csd"

    def label_features(self) -> dict:
        """The columns of the labels."""
        raise NotImplementedError

    def label_values(self, path: Path, names: list[str], values: np.ndarray) -> dict:
        """The label columns of one segment, from the values (d,) and their names; raises CorpusError."""
        raise NotImplementedError

    def _info(self):
        self._places = self._find(Path(self.config.data_dir))
        sequence = datasets.List(datasets.List(datasets.Value("float32")))
        features = {**UTTERANCE_FEATURES, **self.label_features(), "sdk_fold": datasets.Value("string")}
        features |= {"phones": datasets.Value("string")} if "phones" in self._places else {}
        features |= {modality: sequence for modality in PATTERNS if modality in self._places}
        options, known = self.config, [name for name in self._places if name != "labels"]
        self._alignment = Alignment(options.align, options.collapse, options.steps, known)
        pace = f"one for each of the {options.align}" if options.align else "in their own rate"
        if options.align == "words":
            features["words"] = datasets.List(datasets.Value("string"))
        return datasets.DatasetInfo(
            description="A row is a labelled segment of a video; a video is a dialogue of one speaker. Feature columns "
            f"hold the steps that overlap the segment, {pace}.",
            features=datasets.Features(features),
            homepage="http://multicomp.cs.cmu.edu/",
        )

    def _find(self, root: Path) -> dict[str, Path]:
        found = {"labels": self._only(root, self.LABELS)}
        if found["labels"] is None:
            raise CorpusError(str(root), f"a sequence of labels, {self.LABELS}", "none")
        for name, pattern in (("words", "*TimestampedWords.csd"), ("phones", "*TimestampedPhones.csd")):
            found[name] = self._only(root, pattern)
        for modality, pattern in PATTERNS.items():
            asked = vars(self.config)[modality]
            found[modality] = self._only(root, pattern) if not asked else None
            if asked and asked != "none":
                found[modality] = root / asked
                if not found[modality].is_file():
                    raise CorpusError(modality, "the name of a .csd file in the folder, or none", repr(asked))
        return {name: path for name, path in found.items() if path is not None}

    def _only(self, root: Path, pattern: str) -> Path | None:
        paths = sorted(root.rglob(pattern))
        if len(paths) > 1:
            names = ", ".join(path.name for path in paths)
            raise CorpusError(str(root), f"one file {pattern}", names, "move the others, or name one by its option")
        return paths[0] if paths else None

    def read_rows(self, root: Path) -> list[dict]:
        """Rows without their features, which are read when they are written; raises CorpusError."""
        for name in ("words", "phones", *PATTERNS):
            if name not in self._places:
                self.manifest.note("missing", "sequence", name)
        folds, rows = _read_folds(self.config.folds), []
        with Sequence(self._places["labels"], self.manifest) as labels:
            names = labels.dimensions()
            for video in labels.ids():
                entry = labels.entry(video)
                split = folds.get(video, "all")
                if folds and split == "all":
                    self.manifest.note("missing", "fold", video)
                for number, ((start, end), values) in enumerate(zip(*entry, strict=True) if entry else (), 1):
                    row = {
                        "utterance_id": f"{video}_{number}",
                        "dialogue_id": video,
                        "speaker": video,
                        "start": float(start),
                        "end": float(end),
                        "split": split,
                        "sdk_fold": split,
                        **self._media(video, number),
                    }
                    rows.append(row | self.label_values(labels.path, names, np.asarray(values)))
            self.manifest.found["videos"] = len({row["dialogue_id"] for row in rows})
            for name, path in self._places.items():
                if name != "labels":
                    self._compare(name, path, {row["dialogue_id"] for row in rows})
        return number_dialogues(rows, lambda row: (row["start"], row["utterance_id"]))

    def _compare(self, name: str, path: Path, labelled: set[str]) -> None:
        with Sequence(path, self.manifest) as sequence:
            given = {entry.split("[")[0] for entry in sequence.ids()}
        for video in sorted(given - labelled):
            self.manifest.note("dropped", f"{name} of a video without labels", video)
        for video in sorted(labelled - given):
            self.manifest.note("missing", f"{name} of a video", video)

    def _media(self, video: str, number: int) -> dict:
        if not self.config.media:
            return {"audio_path": "", "video_path": "", "transcript": ""}
        raw, name = Path(self.config.media), f"{video}_{number}"
        clip = raw / "Video" / "Segmented" / f"{name}.mp4"
        self.manifest.found["video"] += clip.is_file()
        if not clip.is_file():
            self.manifest.note("missing", "video", name)
        sound = raw / "Audio" / "WAV_16000" / "Segmented" / f"{name}.wav"
        return {
            "audio_path": audio_path(sound, name, self.manifest),
            "video_path": str(clip) if clip.is_file() else "",
            "transcript": self._transcripts(raw, video).get(number, ""),
        }

    def _transcripts(self, raw: Path, video: str) -> dict[int, str]:
        path, texts = raw / "Transcript" / "Segmented" / f"{video}.annotprocessed", {}
        for number, line in read_lines(path) if path.is_file() else ():
            key, separator, text = line.partition("_DELIM_")
            if not separator or not key.strip().isdecimal():
                raise CorpusError(f"{path}, line {number}", "NUMBER_DELIM_WORDS", repr(line[:80]))
            texts[int(key)] = text.strip()
        return texts

    def _generate_examples(self, rows):
        with ExitStack() as stack:
            open_ = {
                name: stack.enter_context(Sequence(path, self.manifest))
                for name, path in self._places.items()
                if name != "labels"
            }
            index = 0
            for video, segments in _by_video(rows):
                # One video of one sequence at a time is all that is held.
                kept = {name: sequence.entry(video) if video in sequence else None for name, sequence in open_.items()}
                kept = self._alignment.aligned(kept, PATTERNS)
                for row in segments:
                    yield index, {**row, **self._features(row, kept)}
                    index += 1

    def _features(self, row: dict, kept: dict) -> dict:
        made: dict = {"words": None} if self.config.align == "words" else {}
        for name, entry in kept.items():
            steps = None
            if entry is not None:
                intervals, features = entry
                steps = features[within(intervals, row["start"], row["end"])]
            if name in PATTERNS:
                made[name] = None if steps is None or not len(steps) else self._alignment.fitted(steps)
            elif steps is not None:
                try:
                    tokens = list(words_of(steps))
                except (ValueError, UnicodeDecodeError) as error:
                    where = f"{self._places[name]}, {row['dialogue_id']}"
                    raise CorpusError(where, "tokens as text", error) from error
                spoken = [token for token in tokens if token != SILENCE]
                self.manifest.found[f"silences among the {name}"] += len(tokens) - len(spoken)
                if name == self.config.align == "words":
                    made["words"] = self._alignment.fitted(np.array(tokens, dtype=str)).tolist()
                if name == "phones" or not row["transcript"]:
                    made["phones" if name == "phones" else "transcript"] = " ".join(spoken)
        return {"phones": ""} | made if "phones" in kept else made


def _by_video(rows: tuple[dict, ...]) -> Iterator[tuple[str, list[dict]]]:
    segments: dict[str, list[dict]] = {}
    for row in rows:
        segments.setdefault(row["dialogue_id"], []).append(row)
    yield from segments.items()


def _read_folds(path: str) -> dict[str, str]:
    """Video id -> part, of the user's file; raises CorpusError."""
    if not path:
        return {}
    try:
        lists = json.loads(Path(path).read_text(encoding="utf-8"))
        folds: dict[str, str] = {}
        for word, part in FOLDS.items():
            for video in lists[f"standard_{word}_fold"]:
                if folds.setdefault(str(video), part) != part:
                    raise CorpusError(path, "each video in one fold", repr(video))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, CorpusError):
            raise
        raise CorpusError(path, WHERE_FOLDS, error) from error
    return folds
