"""The text files of an IEMOCAP release: transcriptions, evaluation summaries, rater files, six-class label file."""

import json
import re
from pathlib import Path

from datasets_scripts._builder import Manifest, read_lines
from mm_emotion.errors import CorpusError
from mm_emotion.schema import IEMOCAP_CODES, IEMOCAP_VOTES, LABEL_SETS

SPLITS = {"train": "train", "valid": "validation", "validation": "validation", "test": "test"}

_NUMBER = r"\d+(?:\.\d+)?"
_UTTERANCE = re.compile(r"(?P<dialogue>Ses(?P<session>\d\d)[FM]_(?P<kind>impro|script)\w*)_(?P<gender>[FM])[A-Z]*\d+")
_SPOKEN = re.compile(rf"(\S+) \[({_NUMBER})-({_NUMBER})\]:(.*)")
_UNNAMED = re.compile(r"[FM]\s*:")
_TURN = re.compile(rf"\[({_NUMBER}) - ({_NUMBER})\]\t(\S+)\t(\w+)\t\[([^,\]]+), ([^,\]]+), ([^,\]]+)\]")
_SUMMARY_VOTE = re.compile(r"C-([A-Z]\w*):\t([^\t]*)\t\(.*")
_SUMMARY_RATING = re.compile(r"A-[A-Z]\w*:\t.*")
_RATER_FILE = re.compile(r"Ses\w+_([a-z]\d+)_cat")
_RATER_VOTE = re.compile(r"(\S+)\s+((?::[^;]*;\s*)+)\(.*")

DIALOGUE_LABELS = (
    "a jsonl file of the six-class dialogue set: one row per utterance with utt_id, conv6_label (0 happy, 1 sad, "
    "2 neutral, 3 angry, 4 excited, 5 frustrated; -1 or null = not in the set), conv6_pos (order in the dialogue) "
    "and optionally split (train, valid or test)"
)
WHY_DIALOGUE_LABELS = (
    "six_way_dialogue is six_way plus 53 tied utterances that the dialogue literature counts as happy; no rule over "
    "the raters' votes singles them out, so their ids must come from the published label file"
)


def _fail(path: Path, number: int, expected: str, line: str) -> CorpusError:
    return CorpusError(f"{path}, line {number}", expected, repr(line[:80]))


def _codes(names: str, path: Path, number: int) -> list[str]:
    named = [name.strip(" :\t") for name in names.split(";") if name.strip(" :\t")]
    for name in named:
        if name not in IEMOCAP_VOTES:
            raise _fail(path, number, f"an emotion among {', '.join(IEMOCAP_VOTES)}", name)
    return [IEMOCAP_VOTES[name] for name in named]


def _score(text: str, path: Path, number: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise _fail(path, number, "[valence, activation, dominance] as numbers", text) from None


def class_name(code: str, label_set: str) -> str | None:
    """Class of a consensus code in a label set of `schema.LABEL_SETS["iemocap"]`, None where it is left out."""
    name = IEMOCAP_CODES[code]
    if label_set == "four_way" and name == "excited":
        name = "happy"
    return name if name in LABEL_SETS["iemocap"][label_set] else None


def read_transcription(path: Path, spoken: dict[str, tuple[float, float, str]], manifest: Manifest) -> None:
    """Add to `spoken` utterance id -> (start, end, words) from one transcription file; times in seconds."""
    for number, line in read_lines(path):
        match = _SPOKEN.fullmatch(line.strip())
        if match is None and _UNNAMED.match(line):
            manifest.note("dropped", "transcription line without an utterance id", f"{path.name}:{number}")
        elif match is None:
            raise _fail(path, number, "'UTTERANCE_ID [START-END]: WORDS' or 'F: WORDS' or 'M: WORDS'", line)
        elif match[1] in spoken:
            manifest.note("duplicate", "transcribed utterance", f"{match[1]} ({path.name}:{number})")
        else:
            spoken[match[1]] = (float(match[2]), float(match[3]), match[4].strip())


def read_summary(path: Path, manifest: Manifest) -> dict[str, dict]:
    """Utterance id -> start, end (s), emotion code, three scores and the raters' votes, from one summary file.

    Votes of the actors on themselves (raters F*, M*) are not kept: they are no part of the consensus.
    """
    turns, votes = {}, None
    for number, line in read_lines(path):
        line = line.rstrip()
        if match := _TURN.fullmatch(line):
            name = _UTTERANCE.fullmatch(match[3])
            if name is None or name["dialogue"] != path.stem:
                raise _fail(path, number, f"an utterance id of dialogue {path.stem}", match[3])
            if match[4] not in IEMOCAP_CODES:
                raise _fail(path, number, f"an emotion code among {', '.join(IEMOCAP_CODES)}", match[4])
            votes = {}
            turn = {"start": float(match[1]), "end": float(match[2]), "emotion": match[4], "votes": votes}
            if turn["end"] <= turn["start"]:
                raise _fail(path, number, "an end after the start", line)
            turn["scores"] = [_score(match[group], path, number) for group in (5, 6, 7)]
            if match[3] in turns:
                manifest.note("duplicate", "evaluated utterance", f"{match[3]} ({path.name}:{number})")
            turns.setdefault(match[3], {**turn, **name.groupdict()})
        elif (match := _SUMMARY_VOTE.fullmatch(line)) and votes is not None:
            if match[1].startswith("E"):
                votes[match[1].lower()] = _codes(match[2], path, number)
        elif not line.startswith("%") and not (_SUMMARY_RATING.fullmatch(line) and votes is not None):
            expected = "'[START - END]<tab>UTTERANCE_ID<tab>CODE<tab>[V, A, D]' or a line C-RATER or A-RATER below one"
            raise _fail(path, number, expected, line)
    return turns


def read_raters(folder: Path, manifest: Manifest) -> dict[str, dict[str, list[str]]]:
    """Utterance id -> rater -> emotion codes, from a session's folder of categorical rater files."""
    votes: dict[str, dict[str, list[str]]] = {}
    for path in sorted(folder.glob("Ses*.txt")):
        name = _RATER_FILE.fullmatch(path.stem)
        if name is None:
            manifest.note("dropped", "file not named DIALOGUE_RATER_cat.txt", path.name)
            continue
        for number, line in read_lines(path):
            match = _RATER_VOTE.fullmatch(line.strip())
            if match is None:
                raise _fail(path, number, "'UTTERANCE_ID :EMOTION; (COMMENT)'", line)
            if name[1] in votes.setdefault(match[1], {}):
                manifest.note("duplicate", "vote", f"{match[1]} ({path.name}:{number})")
                continue
            votes[match[1]][name[1]] = _codes(match[2], path, number)
    return votes


def read_dialogue_labels(path: Path) -> dict[str, dict]:
    """Utterance id -> label (index or None), position and split (or None), from the six-class label file."""
    labels, places = {}, set()
    for number, line in read_lines(path):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            raise _fail(path, number, "a JSON object", line) from None
        if not isinstance(row, dict) or not isinstance(row.get("utt_id"), str) or "conv6_label" not in row:
            raise _fail(path, number, "an object with utt_id, conv6_label, conv6_pos", line)
        identifier, label, position = row["utt_id"], row["conv6_label"], row.get("conv6_pos")
        if identifier in labels:
            raise _fail(path, number, "each utt_id once", identifier)
        if (type(label) is not int and label is not None) or label not in (None, *range(-1, 6)):
            raise _fail(path, number, "conv6_label from -1 to 5, or null", repr(label))
        label = None if label == -1 else label
        place = (identifier.rpartition("_")[0], position)
        if label is not None and (type(position) is not int or place in places):
            raise _fail(path, number, "conv6_pos as a whole number, each once in its dialogue", repr(position))
        if row.get("split") not in (None, *SPLITS):
            raise _fail(path, number, f"split among {', '.join(SPLITS)}, or none", repr(row["split"]))
        places.add(place if label is not None else None)
        labels[identifier] = {"label": label, "position": position, "split": SPLITS.get(row.get("split"))}
    return labels


def dialogue_splits(labels: dict[str, dict], path: str) -> dict[str, str]:
    """Dialogue -> split, where the label file names splits; raises CorpusError where a dialogue has two."""
    splits: dict[str, str] = {}
    for identifier, row in labels.items():
        dialogue = identifier.rpartition("_")[0]
        if row["split"] and splits.setdefault(dialogue, row["split"]) != row["split"]:
            raise CorpusError(path, f"one split for dialogue {dialogue}", f"{splits[dialogue]} and {row['split']}")
    return splits
