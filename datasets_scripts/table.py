"""A table of one's own: a csv, tsv or jsonl file, one row an utterance, and the media files that it names.

    python -m datasets_scripts.table --data my.csv --out prepared/mine

Needed are `label` and at least one of `transcript`, `audio_path`, `video_path`. The rest may be left out: without
`utterance_id` rows are numbered, without `dialogue_id` each row is a dialogue of its own, without `speaker` nobody is
told apart, without `split` the folds are made later (`five_fold_<k>`). Labels that are all numbers are a regression.
"""

import math
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

import datasets

from datasets_scripts._builder import UTTERANCE_FEATURES, CorpusBuilder, audio_path, main, number_dialogues
from datasets_scripts._table_files import read_table
from mm_emotion.errors import CorpusError

VERSION = datasets.Version("1.0.0")
COLUMNS = (
    "utterance_id",
    "dialogue_id",
    "speaker",
    "transcript",
    "audio_path",
    "video_path",
    "start",
    "end",
    "label",
    "split",
)
CONTENT = ("transcript", "audio_path", "video_path")
SPLITS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
MOST_LABELS = 100
"""More names than this are not labels but another column."""

SAME = {"text": "transcript", "audio": "audio_path", "video": "video_path", "party": "speaker"}
"""Columns of the tables that are predicted, which are read here too, by the name they have here."""

_OFTEN = {
    "emotion": "label",
    "sentiment": "label",
    "class": "label",
    "target": "label",
    "sentence": "transcript",
    "utterance": "transcript",
    "wav": "audio_path",
    "file": "audio_path",
    "filename": "audio_path",
    "path": "audio_path",
    "id": "utterance_id",
    "dialog_id": "dialogue_id",
    "dialogue": "dialogue_id",
    "conversation": "dialogue_id",
}
"""What others call a column: a hint for the message, never a guess."""


@dataclass
class TableConfig(datasets.BuilderConfig):
    """The labels as the table has them."""

    version: datasets.Version = VERSION
    media_dir: str = field(
        default="", metadata={"help": "folder that the paths in the table start from (default: that of the table)"}
    )
    label_kind: str = field(
        default="auto", metadata={"help": "auto, classes or numbers; auto: numbers where every label is one"}
    )


class Table(CorpusBuilder):
    """A csv, tsv or jsonl table of your own, one row an utterance, with media files beside it.

    Columns: label, and at least one of transcript (or text), audio_path (audio), video_path (video); if you have them
    utterance_id, dialogue_id, speaker, start, end (seconds), split (train, validation, test).
    """

    BUILDER_CONFIG_CLASS = TableConfig
    DEFAULT_CONFIG_NAME = "own"
    BUILDER_CONFIGS = [TableConfig(name="own", description="The labels of the table.")]  # noqa: RUF012
    SOURCE = "file"

    def _info(self):
        # Read here: the label set is the table's, and `datasets` asks for it first.
        self._rows = self._read(Path(self.config.data_dir))
        label = {"label": datasets.ClassLabel(names=self._names)}
        if not self._names:
            label = {"affect": datasets.List(datasets.Value("float32"), length=1)}
        return datasets.DatasetInfo(features=datasets.Features({**UTTERANCE_FEATURES, **label}))

    def read_rows(self, root: Path) -> list[dict]:
        """Rows of the table, numbered; raises CorpusError."""
        timed = Counter(row["dialogue_id"] for row in self._rows if math.isnan(row["start"]))
        # Rows without a start time stay where they stand in the table, and so does all their dialogue.
        return number_dialogues(self._rows, lambda row: (0.0 if timed[row["dialogue_id"]] else row["start"],))

    def _read(self, path: Path) -> list[dict]:
        media = Path(self.config.media_dir or path.parent).absolute()
        if not media.is_dir():
            raise CorpusError("media_dir", "a folder", f"{str(media)!r}, which is none")
        rows, lines = [], {}
        for line, raw in read_table(path):
            if not rows:
                self._check_columns(path, raw)
            known = {_known(name): value for name, value in raw.items()}
            row = self._row(f"{path}, line {line}", known, len(rows) + 1, media)
            if row["utterance_id"] in lines:
                given = f"{row['utterance_id']!r} again, first on line {lines[row['utterance_id']]}"
                raise CorpusError(f"{path}, line {line}", "each utterance_id once", given)
            lines[row["utterance_id"]] = line
            rows.append(row)
        if not rows:
            raise CorpusError(str(path), "at least one row", "none")
        if any(row["speaker"] for row in rows):
            for row in rows:
                if not row["speaker"]:
                    self.manifest.note("missing", "speaker: folds are by dialogues", row["utterance_id"])
        self._check_media(path, media, rows)
        self._label(path, rows, lines)
        return rows

    def _check_columns(self, path: Path, raw: Iterable[str]) -> None:
        where, known = f"columns of {path}", [_known(name) for name in raw]
        given = ", ".join(raw)
        twice = next((name for name in COLUMNS if known.count(name) > 1), None)
        if twice:
            both = " and ".join(name for name in raw if _known(name) == twice)
            raise CorpusError(where, f"one column that holds {twice}", both)
        meant = {name: _meant(_known(name)) for name in raw if _known(name) not in COLUMNS}
        for name, column in meant.items():
            self.manifest.note("dropped", "column of another name", f"{name} (rename to {column}?)" if column else name)
        for needed, expected in ((("label",), "a column label"), (CONTENT, f"at least one of {', '.join(CONTENT)}")):
            if not any(column in known for column in needed):
                hints = [f"rename {name!r} to {column!r}" for name, column in meant.items() if column in needed]
                raise CorpusError(where, expected, given, "; ".join(hints))

    def _row(self, where: str, raw: dict[str, str], number: int, media: Path) -> dict:
        given = {name: raw.get(name, "") for name in COLUMNS}
        identifier = given["utterance_id"] or f"{number:06d}"
        start, end = (_seconds(where, name, given[name]) for name in ("start", "end"))
        if end <= start:
            raise CorpusError(f"{where}, end", f"more than start, {start}", end)
        split = given["split"].lower()
        if split and split not in SPLITS:
            raise CorpusError(f"{where}, split", f"one of {', '.join(SPLITS)}, or nothing", repr(given["split"]))
        if not any(given[name] for name in CONTENT):
            self.manifest.note("missing", "words and media", identifier)
        if not given["label"]:
            self.manifest.note("missing", "label", identifier)
        video = media / given["video_path"] if given["video_path"] else None
        if video is not None and video.is_file():
            self.manifest.found["video"] += 1
        elif video is not None:
            self.manifest.note("missing", "video", f"{identifier} ({given['video_path']})")
        audio = media / given["audio_path"] if given["audio_path"] else None
        return {
            "utterance_id": identifier,
            "dialogue_id": given["dialogue_id"] or identifier,
            "speaker": given["speaker"],
            "transcript": given["transcript"],
            "audio_path": audio_path(audio, f"{identifier} ({given['audio_path']})", self.manifest) if audio else "",
            "video_path": str(video) if video is not None and video.is_file() else "",
            "start": start,
            "end": end,
            "split": SPLITS.get(split, "all"),
            "label": given["label"],
            "named": bool(given["audio_path"] or given["video_path"]),
        }

    def _check_media(self, path: Path, media: Path, rows: list[dict]) -> None:
        named = sum(row.pop("named") for row in rows)
        wordless = not any(row["transcript"] for row in rows)
        if wordless and named and not any(row["audio_path"] or row["video_path"] for row in rows):
            kinds = [kind for outcome in ("missing", "unreadable") for kind in self.manifest.items[outcome].items()]
            example = next(items[0] for kind, items in kinds if kind in ("audio", "video"))
            hint = "give --media-dir the folder that the paths start from"
            raise CorpusError(f"media of {path}", f"readable files below {media}", f"none, such as {example}", hint)

    def _label(self, path: Path, rows: list[dict], lines: dict[str, int]) -> None:
        """Turn the labels of `rows` into classes or numbers in place, and tell how many there are of each."""
        kind = self.config.label_kind
        if kind not in ("auto", "classes", "numbers"):
            raise CorpusError("label_kind", "auto, classes or numbers", repr(kind))
        counts = Counter(row["label"] for row in rows if row["label"])
        if not counts:
            raise CorpusError(f"label column of {path}", "a label in at least one row", "none")
        values = {text: _number(text) for text in counts}
        words = [text for text, value in values.items() if value is None]
        if words and (kind == "numbers" or (kind == "auto" and len(words) < len(values))):
            row = next(row for row in rows if row["label"] == words[0])
            where = f"{path}, line {lines[row['utterance_id']]}, label"
            hint = "--label-kind classes takes words and numbers as names of classes"
            raise CorpusError(where, "a finite number, as other rows have", repr(words[0]), hint)
        self._names = [] if kind != "classes" and not words else sorted(counts)
        if not self._names:
            self.manifest.found["numbers as labels (a regression)"] = sum(counts.values())
            for row in rows:
                text = row.pop("label")
                row["affect"] = [values[text] if text else math.nan]
            return
        if not 2 <= len(counts) <= MOST_LABELS:
            given = f"{len(counts)}, such as {', '.join(map(repr, self._names[:3]))}"
            raise CorpusError(f"label column of {path}", f"2 to {MOST_LABELS} different labels", given)
        folded = Counter(name.casefold() for name in self._names)
        for name in self._names:
            if folded[name.casefold()] > 1:
                self.manifest.note("disagreeing", "label that differs from another in case alone", name)
        for name in self._names:
            self.manifest.found[f"label {name}"] = counts[name]
        for row in rows:
            row["label"] = row["label"] or None


def _known(name: str) -> str:
    """The contract's name of a column, however the table writes it."""
    name = name.strip().lower()
    return SAME.get(name, name)


def _meant(name: str) -> str | None:
    """The column that a column of another name may be, if any is near."""
    return _OFTEN.get(name) or next(iter(get_close_matches(name, COLUMNS, n=1)), None)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    # As float32, the width of `affect`.
    return value if abs(value) <= 3.4e38 else None


def _seconds(where: str, name: str, text: str) -> float:
    """A time in seconds, NaN where the table has none."""
    if not text:
        return math.nan
    value = _number(text)
    if value is None or value < 0:
        raise CorpusError(f"{where}, {name}", "seconds from the start of the file, such as 12.5", repr(text))
    return value


if __name__ == "__main__":
    # As a module this class would be `__main__.Table`.
    from datasets_scripts.table import Table as Builder

    sys.exit(main(Builder))
