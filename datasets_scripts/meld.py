"""MELD (Poria et al., 2019): scenes of a television series with up to nine parties, seven emotions, three sentiments.

    python -m datasets_scripts.meld --data-dir MELD.Raw --out prepared/meld

The folder holds train_sent_emo.csv, dev_sent_emo.csv and test_sent_emo.csv, and, if they are there, the clips in
train_splits, dev_splits_complete and output_repeated_splits_test, dia<dialogue>_utt<utterance>.mp4 (or .wav beside it).
Dialogue and utterance numbers have gaps, which are counted.
"""

import math
import re
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import datasets

from datasets_scripts._builder import UTTERANCE_FEATURES, CorpusBuilder, audio_path, main, number_dialogues
from datasets_scripts._table_files import read_table
from mm_emotion.errors import CorpusError
from mm_emotion.schema import LABEL_SETS

VERSION = datasets.Version("1.0.0")
COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "StartTime", "EndTime")
PARTS = {
    "train": ("train", "train_splits"),
    "dev": ("validation", "dev_splits_complete"),
    "test": ("test", "output_repeated_splits_test"),
}
"""Part as the files name it -> split, folder of its clips."""

BROKEN = "dev_dia110_utt7,test_dia38_utt4,test_dia220_utt0"
"""Clips that are damaged in the published archive."""

_CLOCK = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2}(?:[.,]\d+)?)")


@dataclass
class MeldConfig(datasets.BuilderConfig):
    """One label set of MELD, by its name in `schema.LABEL_SETS`."""

    version: datasets.Version = VERSION
    broken: str = field(
        default=BROKEN,
        metadata={"help": "utterances whose clip is not used, with commas between (default: %(default)s)"},
    )


class Meld(CorpusBuilder):
    """MELD from its csv files, and the clips of the raw archive where they are there."""

    BUILDER_CONFIG_CLASS = MeldConfig
    DEFAULT_CONFIG_NAME = "seven_way"
    BUILDER_CONFIGS = [  # noqa: RUF012
        MeldConfig(name="seven_way", description="Seven emotions."),
        MeldConfig(name="three_way", description="Three sentiments."),
    ]

    def _info(self):
        label = datasets.ClassLabel(names=list(LABEL_SETS["meld"][self.config.name]))
        return datasets.DatasetInfo(
            description="`start` and `end` are times in the episode; a clip holds its own utterance from 0 on.",
            features=datasets.Features(
                {**UTTERANCE_FEATURES, "label": label, "season": datasets.Value("string")}
                | {"episode": datasets.Value("string")}
            ),
            homepage="https://affective-meld.github.io/",
        )

    def read_rows(self, root: Path) -> list[dict]:
        """Rows of the parts that are there, numbered; raises CorpusError."""
        files = {part: root / f"{part}_sent_emo.csv" for part in PARTS}
        present = {part: path for part, path in files.items() if path.is_file()}
        if not present:
            expected = ", ".join(path.name for path in files.values())
            raise CorpusError(str(root), f"a table of {expected}", "none")
        for part in files.keys() - present.keys():
            self.manifest.note("missing", "table", files[part].name)
        broken = {name.strip() for name in self.config.broken.split(",") if name.strip()}
        rows = [row for part, path in present.items() for row in self._part(path, part, root, broken)]
        rows = number_dialogues(rows, lambda row: (row["order"],))
        most = max((row["party"] for row in rows), default=-1) + 1
        self.manifest.found["parties in the largest dialogue"] = most
        return [{name: value for name, value in row.items() if name != "order"} for row in rows]

    def _part(self, path: Path, part: str, root: Path, broken: set[str]) -> list[dict]:
        rows, numbers = [], defaultdict(list)
        for line, raw in read_table(path):
            where = f"{path}, line {line}"
            if absent := [name for name in COLUMNS if name not in raw]:
                raise CorpusError(where, f"columns {', '.join(COLUMNS)}", f"none named {', '.join(absent)}")
            dialogue, utterance = (_whole(where, name, raw[name]) for name in ("Dialogue_ID", "Utterance_ID"))
            if utterance in numbers[dialogue]:
                raise CorpusError(where, "each utterance once", f"dialogue {dialogue}, utterance {utterance} again")
            numbers[dialogue].append(utterance)
            rows.append(self._row(where, raw, part, root, broken, dialogue, utterance))
        self.manifest.found[f"utterances of {part}"] = len(rows)
        self.manifest.found[f"dialogues of {part}"] = len(numbers)
        for dialogue in sorted(set(range(max(numbers, default=-1) + 1)) - numbers.keys()):
            self.manifest.note("missing", "dialogue number", f"{part}_dia{dialogue}")
        for dialogue, given in numbers.items():
            for utterance in sorted(set(range(max(given) + 1)) - set(given)):
                self.manifest.note("missing", "utterance number", f"{part}_dia{dialogue}_utt{utterance}")
        return rows

    def _row(
        self, where: str, raw: dict[str, str], part: str, root: Path, broken: set[str], dialogue: int, utterance: int
    ) -> dict:
        identifier = f"{part}_dia{dialogue}_utt{utterance}"
        split, folder = PARTS[part]
        column = "Emotion" if self.config.name == "seven_way" else "Sentiment"
        names = LABEL_SETS["meld"][self.config.name]
        if raw[column] not in names:
            raise CorpusError(f"{where}, {column}", f"one of {', '.join(names)}", repr(raw[column][:80]))
        start, end = (_seconds(where, name, raw[name]) for name in ("StartTime", "EndTime"))
        if end <= start:
            self.manifest.note("dropped", "times whose end is before their start", identifier)
            start = end = math.nan
        audio, video = self._media(root / folder, f"dia{dialogue}_utt{utterance}", identifier, identifier in broken)
        return {
            "utterance_id": identifier,
            "dialogue_id": f"{part}_dia{dialogue}",
            "order": utterance,
            "speaker": raw["Speaker"],
            "transcript": raw["Utterance"],
            "audio_path": audio,
            "video_path": video,
            "start": start,
            "end": end,
            "split": split,
            "label": raw[column],
            "season": raw.get("Season", ""),
            "episode": raw.get("Episode", ""),
        }

    def _media(self, folder: Path, name: str, identifier: str, broken: bool) -> tuple[str, str]:
        """Paths of sound and clip, empty where there is none; a clip that is known to be broken is left out."""
        if broken:
            self.manifest.note("unreadable", "clip that is broken as published", identifier)
            return "", ""
        if not folder.is_dir():
            self.manifest.note("missing", "folder of clips", identifier)
            return "", ""
        clip, sound = folder / f"{name}.mp4", folder / f"{name}.wav"
        if not clip.is_file() or not clip.stat().st_size:
            self.manifest.note("missing", "video", identifier)
            clip = None
        else:
            self.manifest.found["video"] += 1
        return audio_path(sound, identifier, self.manifest) if sound.is_file() else "", str(clip or "")


def _whole(where: str, name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 6):
        raise CorpusError(f"{where}, {name}", "a whole number below 100000", repr(text[:80]))
    return int(text)


def _seconds(where: str, name: str, text: str) -> float:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise CorpusError(f"{where}, {name}", "hours:minutes:seconds,milliseconds", repr(text[:80]))
    return int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3].replace(",", "."))


if __name__ == "__main__":
    from datasets_scripts.meld import Meld as Builder

    sys.exit(main(Builder))
