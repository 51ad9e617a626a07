"""IEMOCAP (Busso et al., 2008), from the folder of the full release: ten actors, five dyadic sessions.

    python -m datasets_scripts.iemocap --data-dir IEMOCAP_full_release --out prepared/iemocap

Facts of the release that shape the code: a summary lists one actor's turns, then the other's, so that order comes from
the start times; transcriptions hold lines without an id (`M: ...`) and ids that nobody rated; activation, valence and
dominance are taken from the summaries, because the files of single raters count two of them the other way round.
"""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path

import datasets

from datasets_scripts._builder import (
    UTTERANCE_FEATURES,
    CorpusBuilder,
    audio_path,
    main,
    number_dialogues,
)
from datasets_scripts._iemocap_release import (
    DIALOGUE_LABELS,
    WHY_DIALOGUE_LABELS,
    class_name,
    dialogue_splits,
    read_dialogue_labels,
    read_raters,
    read_summary,
    read_transcription,
)
from mm_emotion.errors import CorpusError
from mm_emotion.schema import LABEL_SETS

VERSION = datasets.Version("1.0.0")

MOCAP = ("MOCAP_rotated", "MOCAP_head", "MOCAP_hand")


@dataclass
class IemocapConfig(datasets.BuilderConfig):
    """One label set of IEMOCAP, by its name in `schema.LABEL_SETS`."""

    version: datasets.Version = VERSION
    dialogue_labels: str = field(
        default="", metadata={"help": DIALOGUE_LABELS, "why": WHY_DIALOGUE_LABELS, "file": True}
    )


class Iemocap(CorpusBuilder):
    """IEMOCAP from the folder of the full release (the one that holds Session1 to Session5)."""

    BUILDER_CONFIG_CLASS = IemocapConfig
    DEFAULT_CONFIG_NAME = "six_way"
    BUILDER_CONFIGS = [  # noqa: RUF012 (the attribute is datasets' own)
        IemocapConfig(name="six_way", description="Six classes by the release's consensus; order by start time."),
        IemocapConfig(
            name="six_way_dialogue",
            description="Six classes, labels and order of the dialogue literature; needs --dialogue-labels.",
        ),
        IemocapConfig(name="four_way", description="Angry, happy (with excited), neutral, sad."),
        IemocapConfig(name="four_way_exc", description="Angry, excited, neutral, sad; happy is left out."),
        IemocapConfig(name="all", description="Every evaluated utterance, ties included as undecided."),
    ]

    def _info(self):
        features = {
            **UTTERANCE_FEATURES,
            "label": datasets.ClassLabel(names=list(LABEL_SETS["iemocap"][self.config.name])),
            "valence": datasets.Value("float32"),
            "activation": datasets.Value("float32"),
            "dominance": datasets.Value("float32"),
            "votes": datasets.Value("string"),
            "scenario": datasets.Value("string"),
            "gender": datasets.Value("string"),
            "session": datasets.Value("int32"),
        }
        return datasets.DatasetInfo(
            description="`audio_path` is the utterance's own recording; `start` and `end` place it in the dialogue, "
            "whose video is `video_path`. `votes` maps a rater to the emotion codes given, as JSON.",
            features=datasets.Features(features),
            homepage="https://sail.usc.edu/iemocap/",
        )

    def read_rows(self, root: Path) -> list[dict]:
        """Rows of the configured label set under `root`, which holds Session1 to Session5; raises CorpusError."""
        sessions = {number: root / f"Session{number}" for number in range(1, 6)}
        present = {number: folder for number, folder in sessions.items() if folder.is_dir()}
        if not present:
            raise CorpusError(str(root), "the release's folders Session1 to Session5", "none of them")
        for number in sorted(sessions.keys() - present.keys()):
            self.manifest.note("missing", "session", f"Session{number}")
        by_file, path = self.config.name == "six_way_dialogue", self.config.dialogue_labels
        if by_file and not path:
            raise CorpusError("dialogue_labels", DIALOGUE_LABELS, "no file", WHY_DIALOGUE_LABELS)
        labels = read_dialogue_labels(Path(path)) if path else {}
        splits = dialogue_splits(labels, path)
        rows = []
        for number, folder in present.items():
            for identifier, turn in self._read_session(folder, number).items():
                name = self._label(identifier, turn["emotion"], labels if by_file else None)
                if name is None:
                    continue
                if splits and turn["dialogue"] not in splits:
                    raise CorpusError(path, f"a split for dialogue {turn['dialogue']}", "none")
                split = splits.get(turn["dialogue"], f"session{number}")
                rows.append({**self._row(folder, identifier, turn), "label": name, "split": split, "session": number})
        if not by_file:
            return number_dialogues(rows, lambda row: (row["start"], row["utterance_id"]))
        listed = {identifier for identifier, row in labels.items() if row["label"] is not None}
        for identifier in sorted(listed - {row["utterance_id"] for row in rows}):
            self.manifest.note("missing", "utterance of the dialogue labels", identifier)
        return number_dialogues(rows, lambda row: (labels[row["utterance_id"]]["position"],))

    def _read_session(self, folder: Path, session: int) -> dict[str, dict]:
        evaluations, transcriptions = folder / "dialog" / "EmoEvaluation", folder / "dialog" / "transcriptions"
        for needed in (evaluations, transcriptions):
            if not needed.is_dir():
                raise CorpusError(str(needed), "a folder of the release", "nothing there")
        turns: dict[str, dict] = {}
        spoken: dict[str, tuple[float, float, str]] = {}
        for path in sorted(evaluations.glob("Ses*.txt")):
            turns.update(read_summary(path, self.manifest))
        for path in sorted(transcriptions.glob("Ses*.txt")):
            read_transcription(path, spoken, self.manifest)
        raters = read_raters(evaluations / "Categorical", self.manifest)
        for identifier in sorted(spoken.keys() - turns.keys()):
            self.manifest.note("dropped", "transcribed but not evaluated", identifier)
        for identifier in sorted(raters.keys() - turns.keys()):
            self.manifest.note("dropped", "votes on an utterance without a summary", identifier)
        for identifier, turn in turns.items():
            if int(turn["session"]) != session:
                raise CorpusError(str(evaluations), f"utterances of session {session}", identifier)
            if identifier not in spoken:
                self.manifest.note("missing", "transcript", identifier)
            start, end, turn["transcript"] = spoken.get(identifier, (turn["start"], turn["end"], ""))
            if (start, end) != (turn["start"], turn["end"]):
                self.manifest.note("disagreeing", "times of transcription and summary", identifier)
            single = raters.get(identifier, {})
            if not single:
                self.manifest.note("missing", "rater files", identifier)
            if any(codes != single.get(rater, codes) for rater, codes in turn["votes"].items()):
                self.manifest.note("disagreeing", "votes of rater files and summary", identifier)
            turn["votes"] |= single
        return turns

    def _label(self, identifier: str, code: str, labels: dict[str, dict] | None) -> str | None:
        """Class name, or None (and a note) where the utterance is not in the label set."""
        name = class_name(code, self.config.name)
        if labels is None:
            if name is None:
                self.manifest.note("dropped", f"consensus {code} is not in {self.config.name}", identifier)
            return name
        index = labels.get(identifier, {}).get("label")
        if index is None:
            self.manifest.note("dropped", "not in the dialogue labels", identifier)
            return None
        listed = LABEL_SETS["iemocap"][self.config.name][index]
        if name is None:
            self.manifest.found["utterances labelled by the dialogue labels alone"] += 1
        elif name != listed:
            raise CorpusError(self.config.dialogue_labels, f"{identifier} as {name}, as in the release", listed)
        return listed

    def _row(self, folder: Path, identifier: str, turn: dict) -> dict:
        dialogue, gender = turn["dialogue"], turn["gender"]
        sentences, video = folder / "sentences", folder / "dialog" / "avi" / "DivX" / f"{dialogue}.avi"
        if video.is_file():
            self.manifest.found["video"] += 1
        else:
            self.manifest.note("missing", "video", identifier)
        for kind in MOCAP:
            if (sentences / kind / dialogue / f"{identifier}.txt").is_file():
                self.manifest.found[kind] += 1
            else:
                self.manifest.note("missing", kind, identifier)
        valence, activation, dominance = turn["scores"]
        return {
            "utterance_id": identifier,
            "dialogue_id": dialogue,
            "speaker": f"Ses{turn['session']}{gender}",
            "transcript": turn["transcript"],
            "audio_path": audio_path(sentences / "wav" / dialogue / f"{identifier}.wav", identifier, self.manifest),
            "video_path": str(video) if video.is_file() else "",
            "start": turn["start"],
            "end": turn["end"],
            "valence": valence,
            "activation": activation,
            "dominance": dominance,
            "votes": json.dumps(dict(sorted(turn["votes"].items()))),
            "scenario": "improvised" if turn["kind"] == "impro" else "scripted",
            "gender": gender,
        }


if __name__ == "__main__":
    # As a module this class would be `__main__.Iemocap`, and all corpora would share one `datasets` name.
    from datasets_scripts.iemocap import Iemocap as Builder

    sys.exit(main(Builder))
