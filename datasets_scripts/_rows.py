"""What builders make rows of: the shared columns, lines of text, checked sound, numbers in a dialogue; the manifest."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import datasets
import soundfile

from mm_emotion.errors import CorpusError

OUTCOMES = ("missing", "duplicate", "unreadable", "disagreeing", "dropped")

UTTERANCE_FEATURES = {
    "utterance_id": datasets.Value("string"),
    "dialogue_id": datasets.Value("string"),
    "position": datasets.Value("int32"),
    "party": datasets.Value("int32"),
    "speaker": datasets.Value("string"),
    "transcript": datasets.Value("string"),
    "audio_path": datasets.Value("string"),
    "video_path": datasets.Value("string"),
    "start": datasets.Value("float64"),
    "end": datasets.Value("float64"),
    "split": datasets.Value("string"),
}


@dataclass
class Manifest:
    """What a builder met in a raw corpus: how many of each thing it found, and every item it could not use as it is."""

    found: Counter = field(default_factory=Counter)
    items: dict[str, dict[str, list[str]]] = field(default_factory=lambda: {outcome: {} for outcome in OUTCOMES})

    def note(self, outcome: str, what: str, item: str) -> None:
        """List `item` under one of `OUTCOMES`; `what` is its kind, or the reason why it was dropped."""
        self.items[outcome].setdefault(what, []).append(item)

    def count(self, outcome: str, what: str | None = None) -> int:
        """How many items have this outcome, of one kind or of all kinds."""
        kinds = self.items[outcome]
        return len(kinds.get(what, [])) if what is not None else sum(map(len, kinds.values()))

    def as_dict(self) -> dict:
        """Counts and items, ready for JSON."""
        return {"found": dict(self.found), **self.items}

    def table(self) -> str:
        """A short text table: one line per outcome and kind, with up to three examples."""
        lines = [("found", what, count, "") for what, count in self.found.items()]
        for outcome, kinds in self.items.items():
            for what, items in kinds.items():
                examples = ", ".join(items[:3]) + (", ..." if len(items) > 3 else "")
                lines.append((outcome, what, len(items), examples))
        width = max((len(what) for _, what, _, _ in lines), default=0)
        return "\n".join(f"{o:<11} {w:<{width}} {n:>7}  {e}".rstrip() for o, w, n, e in lines)


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Numbered non-blank lines of a UTF-8 text file; raises CorpusError where it cannot be read."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CorpusError(str(path), "a readable UTF-8 text file", error) from error
    return [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]


def audio_path(path: Path, item: str, manifest: Manifest) -> str:
    """`path` as text if its header is readable and it holds at least one frame; else note `item` and return ""."""
    if not path.is_file():
        manifest.note("missing", "audio", item)
        return ""
    try:
        readable = soundfile.info(path).frames > 0
    except soundfile.SoundFileError:
        readable = False
    if not readable:
        manifest.note("unreadable", "audio", item)
        return ""
    manifest.found["audio"] += 1
    return str(path)


def number_dialogues(rows: Iterable[dict], order: Callable[[dict], tuple]) -> list[dict]:
    """Rows sorted by dialogue, then by `order`, with `position` and `party` (by first appearance) filled in."""
    numbered, positions, parties = [], Counter(), {}
    for row in sorted(rows, key=lambda row: (row["dialogue_id"], *order(row))):
        dialogue = row["dialogue_id"]
        party = parties.setdefault(dialogue, {}).setdefault(row["speaker"], len(parties[dialogue]))
        numbered.append({**row, "position": positions[dialogue], "party": party})
        positions[dialogue] += 1
    return numbered
