"""A split, and what the making of one asks of rows: sessions, values of dialogues, an order of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset

from mm_emotion.data.rows import column_values
from mm_emotion.errors import SplitError


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


def dialogue_values(rows: Dataset, column: str) -> dict[str, object]:
    """One value a dialogue, in row order; a dialogue with several values is refused."""
    values: dict[str, object] = {}
    for dialogue, value in zip(column_values(rows, "dialogue_id"), column_values(rows, column), strict=True):
        if values.setdefault(dialogue, value) != value:
            raise SplitError(f"{column} of dialogue {dialogue!r}", "one value", f"{values[dialogue]!r} and {value!r}")
    return values


def sessions_of(rows: Dataset) -> dict[str, int]:
    """Session of each dialogue, from the session column or from split names such as "session3"."""
    if "session" in rows.column_names:
        return dialogue_values(rows, "session")
    sessions = {}
    for dialogue, value in dialogue_values(rows, "split").items():
        number = value.removeprefix("session")
        if number == value or not number.isdecimal():
            raise SplitError("rows", "a session column, or split names such as session1", f"split {value!r}")
        sessions[dialogue] = int(number)
    return sessions


def in_session(sessions: dict[str, int], number: int, what: str) -> list[str]:
    """The dialogues of one session; SplitError, which calls it `what`, where there are none."""
    found = [dialogue for dialogue, session in sessions.items() if session == number]
    if not found:
        raise SplitError("rows", f"dialogues of {what}", f"sessions {sorted(set(sessions.values()))}")
    return found


def smallest_hashes(dialogues: Sequence[str], number: int) -> tuple[list[str], str]:
    """The first `number` of the dialogues in the order of `hashed`, as they stand, and a note that says so."""
    if not 0 < number < len(dialogues):
        raise SplitError("validation_dialogues", f"1 to {len(dialogues) - 1}", number)
    order = sorted(dialogues, key=hashed)
    chosen = set(order[:number])
    return [
        dialogue for dialogue in dialogues if dialogue in chosen
    ], f"validation: {number} dialogues taken from train"


def hashed(name: str) -> bytes:
    """A place in an order that says nothing about a dialogue and is the same everywhere."""
    return hashlib.sha256(name.encode()).digest()
