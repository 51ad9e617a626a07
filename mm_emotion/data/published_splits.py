"""Splits that a corpus or its papers publish, those that leak among them."""

from dataclasses import replace

import numpy as np
from datasets import Dataset

from mm_emotion.data.rows import column_values
from mm_emotion.data.split_rows import Split, dialogue_values, in_session, sessions_of, smallest_hashes
from mm_emotion.errors import SplitError
from mm_emotion.schema import SPLITS


def session5_test(rows: Dataset, validation_dialogues: int) -> Split:
    """Session 5 is the test part."""
    sessions = sessions_of(rows)
    test = in_session(sessions, 5, "session 5")
    rest = [dialogue for dialogue in sessions if dialogue not in set(test)]
    published = dialogue_values(rows, "split")
    validation = [dialogue for dialogue in rest if published[dialogue] == "validation"]
    note = "validation: the published dialogues"
    if not validation:
        validation, note = smallest_hashes(rest, validation_dialogues)
    train = [dialogue for dialogue in rest if dialogue not in set(validation)]
    return Split("session5_test", True, tuple(train), tuple(validation), tuple(test), note=note)


def published_split(rows: Dataset, validation_dialogues: int, name: str = "published", column: str = "split") -> Split:
    """The parts that a column names."""
    published = dialogue_values(rows, column)
    parts = {part: [dialogue for dialogue, value in published.items() if value == part] for part in SPLITS}
    absent = [part for part in ("train", "test") if not parts[part]]
    if absent:
        given = ", ".join(sorted(map(str, set(published.values()))))
        raise SplitError(f"{column} column", "a published split with train and test", given, "try session5_test")
    note = "validation: the published dialogues"
    if not parts["validation"]:
        parts["validation"], note = smallest_hashes(parts["train"], validation_dialogues)
        chosen = set(parts["validation"])
        parts["train"] = [dialogue for dialogue in parts["train"] if dialogue not in chosen]
    return measured(rows, name, {part: tuple(dialogues) for part, dialogues in parts.items()}, note)


def measured(rows: Dataset, name: str, parts: dict[str, tuple[str, ...]], note: str) -> Split:
    """The split with these dialogues, speaker-independent if they are."""
    test, others = set(parts["test"]), {*parts["train"], *parts["validation"]}
    speakers: dict[bool, set[str]] = {True: set(), False: set()}
    for dialogue, speaker in zip(column_values(rows, "dialogue_id"), column_values(rows, "speaker"), strict=True):
        if dialogue in test or dialogue in others:
            speakers[dialogue in test].add(speaker)
    return Split(name, not speakers[True] & speakers[False], **parts, note=note)


def sdk_standard(rows: Dataset, validation_dialogues: int) -> Split:
    """The folds of the CMU SDK, and whether vectors of the corpus have seen their test part."""
    split = published_split(rows, validation_dialogues, "sdk_standard", "sdk_fold")
    # The vectors of words and face that bc-LSTM published are layers of networks trained on its own training part.
    published = dialogue_values(rows, "split")
    seen = sum(published[dialogue] != "test" for dialogue in split.test)
    if not seen or not {"text", "visual"} & set(rows.column_names):
        return split
    note = f"{seen} of {len(split.test)} test dialogues trained the networks that made the vectors of words and face"
    return replace(split, seen_features=True, note=f"{split.note}; {note}")


def validation_utterances(rows: Dataset, seed: int) -> Split:
    """Session 5 is the test part, a drawn fifth of the other utterances validates (legacy)."""
    sessions = sessions_of(rows)
    test_dialogues = set(in_session(sessions, 5, "session 5"))
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


def last_fifth(rows: Dataset, validation_dialogues: int) -> Split:
    """The last fifth of the utterances by id is the test part (legacy)."""
    dialogue_of = dict(zip(column_values(rows, "utterance_id"), column_values(rows, "dialogue_id"), strict=True))
    order = sorted(dialogue_of)
    first, test = order[: int(len(order) * 0.8)], order[int(len(order) * 0.8) :]
    cut = {dialogue_of[utterance] for utterance in test}
    whole = list(dict.fromkeys(dialogue for dialogue in dialogue_of.values() if dialogue not in cut))
    chosen, note = smallest_hashes(whole, validation_dialogues)
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
