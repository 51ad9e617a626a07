"""Named splits: which dialogues train, validate and test, and the check that they keep apart."""

from collections import Counter

from datasets import Dataset

from mm_emotion.data.affect_splits import development_halves, pooled
from mm_emotion.data.fold_splits import (
    DIALOGUE_FOLD,
    FIVE_FOLD,
    SESSION_FOLD,
    SPEAKER_FOLD,
    dialogue_fold,
    five_fold,
    session_fold,
    speaker_fold,
)
from mm_emotion.data.published_splits import (
    last_fifth,
    measured,
    published_split,
    sdk_standard,
    session5_test,
    validation_utterances,
)
from mm_emotion.data.rows import column_values
from mm_emotion.data.split_rows import Split, dialogue_values
from mm_emotion.errors import SplitError
from mm_emotion.schema import SPLITS

__all__ = ["SPLIT_NAMES", "Split", "resolve_split", "take", "validate_split"]

SPLIT_NAMES = (
    "session5_test",
    "published",
    "sdk_standard",
    "development_halves",
    "pooled",
    f"{SESSION_FOLD}<k>",
    f"{SPEAKER_FOLD}<k>",
    f"{DIALOGUE_FOLD}<k>",
    f"{FIVE_FOLD}<k>",
    "validation_utterances_20",
    "last_20_percent",
)


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
    - `dialogue_fold_<k>`: every fifth dialogue in the order of the SHA-256 of their ids, from the k-th on, is test,
      those that follow them are validation, the rest train. For corpora of too few speakers to keep apart.
    - `five_fold_<k>`: speakers with the dialogues they share are dealt to five folds, the largest first (three or four
      folds where there are no more groups); without speakers, or with fewer than three groups, dialogues are. Test is
      fold k, validation the next one, train the rest.
    - `validation_utterances_20`: test is session 5; validation is a fifth of the other utterances drawn with `seed`, so
      it shares dialogues with train (legacy).
    - `last_20_percent`: test is the last fifth of the utterances in the order of their ids, as Keras cuts a validation
      part off; it shares a dialogue and speakers with the others (legacy). Validation as in `session5_test`, of the
      dialogues that have no utterance in test.

    Raises SplitError for an unknown name or rows that do not have what the split needs.
    """
    if name == "session5_test":
        return session5_test(rows, validation_dialogues)
    if name == "published":
        return published_split(rows, validation_dialogues)
    if name == "sdk_standard":
        return sdk_standard(rows, validation_dialogues)
    if name == "development_halves":
        return measured(rows, name, *development_halves(dialogue_values(rows, "split"), seed))
    if name == "pooled":
        sizes = Counter(column_values(rows, "dialogue_id"))
        return measured(rows, name, *pooled(dialogue_values(rows, "split"), sizes))
    if name == "validation_utterances_20":
        return validation_utterances(rows, seed)
    if name == "last_20_percent":
        return last_fifth(rows, validation_dialogues)
    if name.startswith(SESSION_FOLD) and name.removeprefix(SESSION_FOLD).isdecimal():
        return session_fold(rows, int(name.removeprefix(SESSION_FOLD)))
    if name.startswith(SPEAKER_FOLD) and name.removeprefix(SPEAKER_FOLD).isdecimal():
        return speaker_fold(rows, int(name.removeprefix(SPEAKER_FOLD)))
    if name.startswith(DIALOGUE_FOLD) and name.removeprefix(DIALOGUE_FOLD).isdecimal():
        return dialogue_fold(rows, int(name.removeprefix(DIALOGUE_FOLD)))
    if name.startswith(FIVE_FOLD) and name.removeprefix(FIVE_FOLD).isdecimal():
        return five_fold(rows, int(name.removeprefix(FIVE_FOLD)))
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
