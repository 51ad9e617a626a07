"""Named splits: which dialogues train, validate and test, and the check that they keep apart."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from datasets import Dataset

from mm_emotion.data.affect_splits import development_halves, pooled
from mm_emotion.data.rows import column_values
from mm_emotion.errors import SplitError
from mm_emotion.schema import SPLITS

_FOLD = "session_fold_"
_SPEAKER_FOLD = "speaker_fold_"
_FIFTH = "five_fold_"
_DIALOGUE_FOLD, _DIALOGUE_FOLDS = "dialogue_fold_", 5
_SENTENCES = 3  # dialogue ids of the one training speaker that validate where there are two
SPLIT_NAMES = (
    "session5_test",
    "published",
    "sdk_standard",
    "development_halves",
    "pooled",
    f"{_FOLD}<k>",
    f"{_SPEAKER_FOLD}<k>",
    f"{_FIFTH}<k>",
    f"{_DIALOGUE_FOLD}<k>",
    "validation_utterances_20",
    "last_20_percent",
)


@dataclass(frozen=True)
class Split:
    """Ids of each part: dialogue ids, or utterance ids where `unit` is "utterance".

    `speaker_independent` declares that no speaker of the test part is in another part, `independent_validation` that no
    speaker of the validation part is in train. `legacy` marks a protocol that lets parts share dialogues,
    `seen_features` that test labels have trained feature columns of the corpus.
    """

    name: str
    speaker_independent: bool
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    independent_validation: bool = False
    unit: str = "dialogue"
    legacy: bool = False
    seen_features: bool = False
    note: str = ""


def resolve_split(rows: Dataset, name: str, *, seed: int = 0, validation_dialogues: int = 12) -> Split:
    """The parts of a named split, in row order.

    - `session5_test`: test is session 5; validation is what the split column calls so, else `validation_dialogues` of
      the other dialogues, those whose ids have the smallest SHA-256, the same for every seed.
    - `published`: the split column as it is; a missing validation part is taken from train in the same way. Whether
      test speakers are apart is measured, not promised.
    - `sdk_standard`: as `published`, by the column `sdk_fold` of CMU-MOSI: the folds of the SDK. Vectors of words and
      face that come with the corpus have seen the labels of most of its test part, which every result says.
    - `development_halves`: train is published, five development dialogues drawn with `seed` validate, the others test.
    - `pooled`: the published train and validation cut anew into three parts, whole dialogues in the order of SHA-256.
    - `session_fold_<k>`: test is session k, validation the next one (after the last comes the first), train the rest.
    - `speaker_fold_<k>`: test is all of the k-th speaker in the order of their names, validation all of the next one
      (after the last comes the first), train the rest. With two speakers, validation is three dialogues of the other
      one, those whose ids have the smallest SHA-256.
    - `five_fold_<k>`: speakers with the dialogues they share are dealt to five folds, the largest first (three or four
      folds where there are no more groups); without speakers, or with fewer than three groups, dialogues are. Test is
      fold k, validation the next one, train the rest.
    - `dialogue_fold_<k>`: every fifth dialogue in the order of the SHA-256 of their ids, from the k-th on, is test,
      those that follow them are validation, the rest train. For corpora of too few speakers to keep apart.
    - `validation_utterances_20`: test is session 5; validation is a fifth of the other utterances drawn with `seed`, so
      it shares dialogues with train (legacy).
    - `last_20_percent`: test is the last fifth of the utterances in the order of their ids, as Keras cuts a validation
      part off; it shares a dialogue and speakers with the others (legacy). Validation as in `session5_test`, of the
      dialogues that have no utterance in test.

    Raises SplitError for an unknown name or rows that do not have what the split needs.
    """
    if name == "session5_test":
        return _session5_test(rows, validation_dialogues)
    if name == "published":
        return _published(rows, validation_dialogues)
    if name == "sdk_standard":
        return _sdk_standard(rows, validation_dialogues)
    if name == "development_halves":
        return _measured(rows, name, *development_halves(_dialogue_values(rows, "split"), seed))
    if name == "pooled":
        sizes = Counter(column_values(rows, "dialogue_id"))
        return _measured(rows, name, *pooled(_dialogue_values(rows, "split"), sizes))
    if name == "validation_utterances_20":
        return _validation_utterances(rows, seed)
    if name == "last_20_percent":
        return _last_fifth(rows, validation_dialogues)
    if name.startswith(_FOLD) and name.removeprefix(_FOLD).isdecimal():
        return _session_fold(rows, int(name.removeprefix(_FOLD)))
    if name.startswith(_SPEAKER_FOLD) and name.removeprefix(_SPEAKER_FOLD).isdecimal():
        return _speaker_fold(rows, int(name.removeprefix(_SPEAKER_FOLD)))
    if name.startswith(_FIFTH) and name.removeprefix(_FIFTH).isdecimal():
        return _five_fold(rows, int(name.removeprefix(_FIFTH)))
    if name.startswith(_DIALOGUE_FOLD) and name.removeprefix(_DIALOGUE_FOLD).isdecimal():
        return _dialogue_fold(rows, int(name.removeprefix(_DIALOGUE_FOLD)))
    raise SplitError("split", f"one of {', '.join(SPLIT_NAMES)}", repr(name))


def take(rows: Dataset, split: Split, part: str) -> Dataset:
    """The rows of one part ("train", "validation", "test") in row order."""
    if part not in SPLITS:
        raise SplitError("part", f"one of {', '.join(SPLITS)}", repr(part))
    wanted = set(getattr(split, part))
    column = column_values(rows, f"{split.unit}_id")
    return rows.select([index for index, key in enumerate(column) if key in wanted])


def validate_split(rows: Dataset, split: Split) -> list[str]:
    """Check that the parts are filled and keep apart; return the remarks that belong beside every result.

    Raises SplitError for an empty part, an id that no row has or that two parts share, for a dialogue in two parts
    unless the split is legacy, and for a declared but broken speaker independence, with the speakers named.
    """
    dialogues, speakers = {}, {}
    ids = column_values(rows, f"{split.unit}_id")
    known = set(ids)
    columns = [ids, column_values(rows, "dialogue_id"), column_values(rows, "speaker")]
    for part in SPLITS:
        wanted = set(getattr(split, part))
        if not wanted:
            raise SplitError(f"{part} part of {split.name}", f"at least one {split.unit}", "none")
        if wanted - known:
            raise SplitError(f"{part} part of {split.name}", f"ids of the rows' {split.unit}s", _few(wanted - known))
        chosen = [(dialogue, speaker) for key, dialogue, speaker in zip(*columns, strict=True) if key in wanted]
        dialogues[part] = {dialogue for dialogue, _ in chosen}
        speakers[part] = {speaker for _, speaker in chosen}
    remarks = [split.note] if split.note else []
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        if split.unit == "utterance" and (twice := set(getattr(split, first)) & set(getattr(split, second))):
            raise SplitError(f"split {split.name}", f"{first} and {second} without common utterances", _few(twice))
        shared = dialogues[first] & dialogues[second]
        if shared and not split.legacy:
            raise SplitError(f"split {split.name}", f"{first} and {second} without common dialogues", _few(shared))
        if shared:
            remarks.append(f"legacy: {first} and {second} share {len(shared)} dialogues")
    remarks += _check_speakers(split, speakers)
    return remarks


def _check_speakers(split: Split, speakers: dict[str, set[str]]) -> list[str]:
    remarks = []
    shared_test = speakers["test"] & (speakers["train"] | speakers["validation"])
    shared_validation = speakers["train"] & speakers["validation"]
    for parts, declared, shared in (
        ("test and the other parts", split.speaker_independent, shared_test),
        ("train and validation", split.independent_validation, shared_validation),
    ):
        if declared and shared:
            raise SplitError(f"split {split.name}", f"no speaker in both {parts}, as declared", _few(shared))
        if not declared:
            remarks.append(
                f"speaker_independent: false for {parts}: {len(shared)} shared speakers, as this split declares"
            )
    return remarks


def _few(names: set[str]) -> str:
    listed = sorted(names)
    return ", ".join(map(repr, listed[:8])) + (f" and {len(listed) - 8} more" if len(listed) > 8 else "")


def _session5_test(rows: Dataset, validation_dialogues: int) -> Split:
    sessions = _sessions(rows)
    test = _where(sessions, 5, "session 5")
    rest = [dialogue for dialogue in sessions if dialogue not in set(test)]
    published = _dialogue_values(rows, "split")
    validation = [dialogue for dialogue in rest if published[dialogue] == "validation"]
    note = "validation: the published dialogues"
    if not validation:
        validation, note = _smallest_hashes(rest, validation_dialogues)
    train = [dialogue for dialogue in rest if dialogue not in set(validation)]
    return Split("session5_test", True, tuple(train), tuple(validation), tuple(test), note=note)


def _published(rows: Dataset, validation_dialogues: int, name: str = "published", column: str = "split") -> Split:
    published = _dialogue_values(rows, column)
    parts = {part: [dialogue for dialogue, value in published.items() if value == part] for part in SPLITS}
    absent = [part for part in ("train", "test") if not parts[part]]
    if absent:
        given = ", ".join(sorted(map(str, set(published.values()))))
        raise SplitError(f"{column} column", "a published split with train and test", given, "try session5_test")
    note = "validation: the published dialogues"
    if not parts["validation"]:
        parts["validation"], note = _smallest_hashes(parts["train"], validation_dialogues)
        chosen = set(parts["validation"])
        parts["train"] = [dialogue for dialogue in parts["train"] if dialogue not in chosen]
    return _measured(rows, name, {part: tuple(dialogues) for part, dialogues in parts.items()}, note)


def _measured(rows: Dataset, name: str, parts: dict[str, tuple[str, ...]], note: str) -> Split:
    """The split with these dialogues, speaker-independent if they are."""
    test, others = set(parts["test"]), {*parts["train"], *parts["validation"]}
    speakers: dict[bool, set[str]] = {True: set(), False: set()}
    for dialogue, speaker in zip(column_values(rows, "dialogue_id"), column_values(rows, "speaker"), strict=True):
        if dialogue in test or dialogue in others:
            speakers[dialogue in test].add(speaker)
    return Split(name, not speakers[True] & speakers[False], **parts, note=note)


def _sdk_standard(rows: Dataset, validation_dialogues: int) -> Split:
    split = _published(rows, validation_dialogues, "sdk_standard", "sdk_fold")
    # The vectors of words and face that bc-LSTM published are layers of networks trained on its own training part.
    published = _dialogue_values(rows, "split")
    seen = sum(published[dialogue] != "test" for dialogue in split.test)
    if not seen or not {"text", "visual"} & set(rows.column_names):
        return split
    note = f"{seen} of {len(split.test)} test dialogues trained the networks that made the vectors of words and face"
    return replace(split, seen_features=True, note=f"{split.note}; {note}")


def _session_fold(rows: Dataset, number: int) -> Split:
    sessions = _sessions(rows)
    numbers = sorted(set(sessions.values()))
    if len(numbers) < 3 or number not in numbers:
        raise SplitError("split", f"a session of {numbers}, and at least three", f"{_FOLD}{number}")
    following = numbers[(numbers.index(number) + 1) % len(numbers)]
    train = tuple(dialogue for dialogue, session in sessions.items() if session not in (number, following))
    validation = tuple(_where(sessions, following, f"session {following}"))
    test = tuple(_where(sessions, number, f"session {number}"))
    note = f"validation: session {following}"
    return Split(f"{_FOLD}{number}", True, train, validation, test, independent_validation=True, note=note)


def _speaker_fold(rows: Dataset, number: int) -> Split:
    speakers = _dialogue_values(rows, "speaker")
    names = sorted(set(speakers.values()))
    if len(names) < 2 or not 1 <= number <= len(names):
        raise SplitError("split", f"a fold of 1 to {len(names)} speakers, and at least two", f"{_SPEAKER_FOLD}{number}")
    tested, following = names[number - 1], names[number % len(names)]
    test = tuple(dialogue for dialogue, speaker in speakers.items() if speaker == tested)
    rest = [dialogue for dialogue, speaker in speakers.items() if speaker != tested]
    apart = len(names) > 2
    if apart:
        validation = [dialogue for dialogue in rest if speakers[dialogue] == following]
        note = f"validation: speaker {following}"
    else:
        validation, note = _smallest_hashes(rest, _SENTENCES)
    train = tuple(dialogue for dialogue in rest if dialogue not in set(validation))
    return Split(
        f"{_SPEAKER_FOLD}{number}", True, train, tuple(validation), test, independent_validation=apart, note=note
    )


def _five_fold(rows: Dataset, number: int) -> Split:
    sizes = Counter(column_values(rows, "dialogue_id"))
    groups = _speaker_groups(rows)
    apart = len(groups) >= 3
    if not apart:
        groups = [[dialogue] for dialogue in sizes]
    count = min(5, len(groups))
    if count < 3:
        raise SplitError("rows", "at least three dialogues to make folds of", len(groups))
    if not 1 <= number <= count:
        raise SplitError("split", f"a fold of 1 to {count}", f"{_FIFTH}{number}")
    folds: list[list[str]] = [[] for _ in range(count)]
    filled = [0] * count
    # Largest first into the emptiest fold: even folds, the same whenever the table is the same.
    for group in sorted(groups, key=lambda group: (-sum(sizes[dialogue] for dialogue in group), group)):
        fold = filled.index(min(filled))
        folds[fold] += group
        filled[fold] += sum(sizes[dialogue] for dialogue in group)
    test, validation = set(folds[number - 1]), set(folds[number % count])
    note = f"fold {number} of {count}, by {'speakers' if apart else 'dialogues'}; validation: fold {number % count + 1}"
    return Split(
        f"{_FIFTH}{number}",
        apart,
        tuple(dialogue for dialogue in sizes if dialogue not in test | validation),
        tuple(dialogue for dialogue in sizes if dialogue in validation),
        tuple(dialogue for dialogue in sizes if dialogue in test),
        independent_validation=apart,
        note=note,
    )


def _speaker_groups(rows: Dataset) -> list[list[str]]:
    """Dialogues that share no speaker with those of another group; none where a dialogue does not name its speakers."""
    leader: dict[str, str] = {}

    def find(speaker: str) -> str:
        while leader.setdefault(speaker, speaker) != speaker:
            leader[speaker] = speaker = leader[leader[speaker]]
        return speaker

    first: dict[str, str] = {}
    for dialogue, speaker in zip(column_values(rows, "dialogue_id"), column_values(rows, "speaker"), strict=True):
        if not speaker:
            return []
        leader[find(speaker)] = find(first.setdefault(dialogue, speaker))
    groups: dict[str, list[str]] = {}
    for dialogue, speaker in first.items():
        groups.setdefault(find(speaker), []).append(dialogue)
    return list(groups.values())


def _dialogue_fold(rows: Dataset, number: int) -> Split:
    dialogues = list(dict.fromkeys(column_values(rows, "dialogue_id")))
    if not 1 <= number <= _DIALOGUE_FOLDS <= len(dialogues):
        given = f"{_DIALOGUE_FOLD}{number} of {len(dialogues)} dialogues"
        raise SplitError("split", f"a fold of 1 to {_DIALOGUE_FOLDS}, of as many dialogues or more", given)
    order = sorted(dialogues, key=_hash)
    part = {dialogue: (place - number + 1) % _DIALOGUE_FOLDS for place, dialogue in enumerate(order)}
    return Split(
        f"{_DIALOGUE_FOLD}{number}",
        False,
        tuple(dialogue for dialogue in dialogues if part[dialogue] > 1),
        tuple(dialogue for dialogue in dialogues if part[dialogue] == 1),
        tuple(dialogue for dialogue in dialogues if part[dialogue] == 0),
        note=f"test: fold {number} of {_DIALOGUE_FOLDS} of the dialogues; validation: the next one",
    )


def _validation_utterances(rows: Dataset, seed: int) -> Split:
    sessions = _sessions(rows)
    test_dialogues = set(_where(sessions, 5, "session 5"))
    test, rest = [], []
    for utterance, dialogue in zip(
        column_values(rows, "utterance_id"), column_values(rows, "dialogue_id"), strict=True
    ):
        (test if dialogue in test_dialogues else rest).append(utterance)
    drawn = set(np.random.default_rng(seed).permutation(len(rest))[: round(0.2 * len(rest))].tolist())
    return Split(
        "validation_utterances_20",
        True,
        tuple(utterance for index, utterance in enumerate(rest) if index not in drawn),
        tuple(utterance for index, utterance in enumerate(rest) if index in drawn),
        tuple(test),
        unit="utterance",
        legacy=True,
        note=f"validation: a fifth of the training utterances drawn with seed {seed}",
    )


def _last_fifth(rows: Dataset, validation_dialogues: int) -> Split:
    dialogue_of = dict(zip(column_values(rows, "utterance_id"), column_values(rows, "dialogue_id"), strict=True))
    order = sorted(dialogue_of)
    first, test = order[: int(len(order) * 0.8)], order[int(len(order) * 0.8) :]
    cut = {dialogue_of[utterance] for utterance in test}
    whole = list(dict.fromkeys(dialogue for dialogue in dialogue_of.values() if dialogue not in cut))
    chosen, note = _smallest_hashes(whole, validation_dialogues)
    return Split(
        "last_20_percent",
        False,
        tuple(utterance for utterance in first if dialogue_of[utterance] not in chosen),
        tuple(utterance for utterance in first if dialogue_of[utterance] in chosen),
        tuple(test),
        unit="utterance",
        legacy=True,
        note=f"test: the last fifth of the utterances by id; {note}",
    )


def _dialogue_values(rows: Dataset, column: str) -> dict[str, object]:
    """One value a dialogue, in row order; a dialogue with several values is refused."""
    values: dict[str, object] = {}
    for dialogue, value in zip(column_values(rows, "dialogue_id"), column_values(rows, column), strict=True):
        if values.setdefault(dialogue, value) != value:
            raise SplitError(f"{column} of dialogue {dialogue!r}", "one value", f"{values[dialogue]!r} and {value!r}")
    return values


def _sessions(rows: Dataset) -> dict[str, int]:
    """Session of each dialogue, from the session column or from split names such as "session3"."""
    if "session" in rows.column_names:
        return _dialogue_values(rows, "session")
    sessions = {}
    for dialogue, value in _dialogue_values(rows, "split").items():
        number = value.removeprefix("session")
        if number == value or not number.isdecimal():
            raise SplitError("rows", "a session column, or split names such as session1", f"split {value!r}")
        sessions[dialogue] = int(number)
    return sessions


def _where(sessions: dict[str, int], number: int, what: str) -> list[str]:
    found = [dialogue for dialogue, session in sessions.items() if session == number]
    if not found:
        raise SplitError("rows", f"dialogues of {what}", f"sessions {sorted(set(sessions.values()))}")
    return found


def _smallest_hashes(dialogues: Sequence[str], number: int) -> tuple[list[str], str]:
    if not 0 < number < len(dialogues):
        raise SplitError("validation_dialogues", f"1 to {len(dialogues) - 1}", number)
    order = sorted(dialogues, key=_hash)
    chosen = set(order[:number])
    return [
        dialogue for dialogue in dialogues if dialogue in chosen
    ], f"validation: {number} dialogues taken from train"


def _hash(name: str) -> bytes:
    """A place in an order that says nothing about a dialogue and is the same everywhere."""
    return hashlib.sha256(name.encode()).digest()
