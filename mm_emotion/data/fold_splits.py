"""Splits that cut a corpus into folds: by session, by speaker, by dialogue."""

from collections import Counter

from datasets import Dataset

from mm_emotion.data.rows import column_values
from mm_emotion.data.split_rows import Split, dialogue_values, hashed, in_session, sessions_of, smallest_hashes
from mm_emotion.errors import SplitError

SESSION_FOLD = "session_fold_"
SPEAKER_FOLD = "speaker_fold_"
DIALOGUE_FOLD, _DIALOGUE_FOLDS = "dialogue_fold_", 5
FIVE_FOLD = "five_fold_"
_SENTENCES = 3  # dialogue ids of the one training speaker that validate where there are two


def session_fold(rows: Dataset, number: int) -> Split:
    """Session `number` is the test part, the next one validates."""
    sessions = sessions_of(rows)
    numbers = sorted(set(sessions.values()))
    if len(numbers) < 3 or number not in numbers:
        raise SplitError("split", f"a session of {numbers}, and at least three", f"{SESSION_FOLD}{number}")
    following = numbers[(numbers.index(number) + 1) % len(numbers)]
    train = tuple(dialogue for dialogue, session in sessions.items() if session not in (number, following))
    validation = tuple(in_session(sessions, following, f"session {following}"))
    test = tuple(in_session(sessions, number, f"session {number}"))
    note = f"validation: session {following}"
    return Split(f"{SESSION_FOLD}{number}", True, train, validation, test, independent_validation=True, note=note)


def speaker_fold(rows: Dataset, number: int) -> Split:
    """The speaker `number` by name is the test part, the next one validates."""
    speakers = dialogue_values(rows, "speaker")
    names = sorted(set(speakers.values()))
    if len(names) < 2 or not 1 <= number <= len(names):
        raise SplitError("split", f"a fold of 1 to {len(names)} speakers, and at least two", f"{SPEAKER_FOLD}{number}")
    tested, following = names[number - 1], names[number % len(names)]
    test = tuple(dialogue for dialogue, speaker in speakers.items() if speaker == tested)
    rest = [dialogue for dialogue, speaker in speakers.items() if speaker != tested]
    apart = len(names) > 2
    if apart:
        validation = [dialogue for dialogue in rest if speakers[dialogue] == following]
        note = f"validation: speaker {following}"
    else:
        validation, note = smallest_hashes(rest, _SENTENCES)
    train = tuple(dialogue for dialogue in rest if dialogue not in set(validation))
    return Split(
        f"{SPEAKER_FOLD}{number}", True, train, tuple(validation), test, independent_validation=apart, note=note
    )


def dialogue_fold(rows: Dataset, number: int) -> Split:
    """Every fifth dialogue, in an order that says nothing about them, is the test part."""
    dialogues = list(dict.fromkeys(column_values(rows, "dialogue_id")))
    if not 1 <= number <= _DIALOGUE_FOLDS <= len(dialogues):
        given = f"{DIALOGUE_FOLD}{number} of {len(dialogues)} dialogues"
        raise SplitError("split", f"a fold of 1 to {_DIALOGUE_FOLDS}, of as many dialogues or more", given)
    order = sorted(dialogues, key=hashed)
    part = {dialogue: (place - number + 1) % _DIALOGUE_FOLDS for place, dialogue in enumerate(order)}
    return Split(
        f"{DIALOGUE_FOLD}{number}",
        False,
        tuple(dialogue for dialogue in dialogues if part[dialogue] > 1),
        tuple(dialogue for dialogue in dialogues if part[dialogue] == 1),
        tuple(dialogue for dialogue in dialogues if part[dialogue] == 0),
        note=f"test: fold {number} of {_DIALOGUE_FOLDS} of the dialogues; validation: the next one",
    )


def five_fold(rows: Dataset, number: int) -> Split:
    """Groups of speakers, else dialogues, dealt to even folds; fold `number` is the test part."""
    sizes = Counter(column_values(rows, "dialogue_id"))
    groups = _speaker_groups(rows)
    apart = len(groups) >= 3
    if not apart:
        groups = [[dialogue] for dialogue in sizes]
    count = min(5, len(groups))
    if count < 3:
        raise SplitError("rows", "at least three dialogues to make folds of", len(groups))
    if not 1 <= number <= count:
        raise SplitError("split", f"a fold of 1 to {count}", f"{FIVE_FOLD}{number}")
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
        f"{FIVE_FOLD}{number}",
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
