"""Named splits, and the guard against dialogues and speakers on both sides."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import Dataset, Features, Value
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mm_emotion.data.splits import Split, resolve_split, take, validate_split
from mm_emotion.data.tables import load_table
from mm_emotion.errors import SplitError
from mm_emotion.schema import SPLITS

FEW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def published(session: int, number: int) -> str:
    return "test" if session == 5 else "validation" if number == 0 else "train"


def dialogues(rows) -> set[str]:
    return set(rows["dialogue_id"][:])


@FEW
@given(
    sessions=st.integers(5, 7),
    count=st.integers(1, 4),
    validation=st.integers(1, 6),
    name=st.sampled_from(["session5_test", "session_fold_1", "session_fold_3", "session_fold_5"]),
)
def test_parts_cover_all_dialogues_once(make_rows, sessions, count, validation, name):
    rows = make_rows(sessions=sessions, dialogues=count, utterances=2)
    split = resolve_split(rows, name, validation_dialogues=min(validation, 4 * count - 1))
    validate_split(rows, split)
    parts = [take(rows, split, part) for part in ("train", "validation", "test")]
    assert sum(len(part) for part in parts) == len(rows)
    assert Counter(row for part in parts for row in part["utterance_id"]) == Counter(rows["utterance_id"][:])
    assert set(parts[2]["session"][:]) == {int(name[-1]) if "fold" in name else 5}
    assert split.speaker_independent and not split.legacy


@FEW
@given(number=st.integers(1, 5))
def test_session_folds_keep_speakers_apart_three_ways(make_rows, number):
    rows = make_rows()
    split = resolve_split(rows, f"session_fold_{number}")
    assert validate_split(rows, split) == [f"validation: session {number % 5 + 1}"]
    assert set(take(rows, split, "validation")["session"][:]) == {number % 5 + 1}
    speakers = [set(take(rows, split, part)["speaker"][:]) for part in ("train", "validation", "test")]
    assert not speakers[0] & speakers[1] and not speakers[0] & speakers[2] and not speakers[1] & speakers[2]


def test_dialogue_folds_test_every_dialogue_once_and_say_that_speakers_are_shared(make_rows):
    rows = make_rows(sessions=1, dialogues=13)
    splits = [resolve_split(rows, f"dialogue_fold_{number}") for number in range(1, 6)]
    tested = [dialogue for split in splits for dialogue in split.test]
    assert sorted(tested) == sorted(dialogues(rows)) and len(set(tested)) == 13
    for split, following in zip(splits, [*splits[1:], splits[0]], strict=True):
        assert split.validation == following.test
        assert "speaker_independent: false for test" in " ".join(validate_split(rows, split))
        assert len(split.train) == 13 - len(split.test) - len(split.validation)
    for number, count in ((0, 13), (6, 13), (1, 4)):
        with pytest.raises(SplitError, match="a fold of 1 to 5"):
            resolve_split(make_rows(sessions=1, dialogues=count), f"dialogue_fold_{number}")


def test_session5_validation_is_the_published_one_where_there_is_one(make_rows):
    rows = make_rows(split_of=published)
    split = resolve_split(rows, "session5_test", validation_dialogues=2)
    assert split.validation == ("s1d00", "s2d00", "s3d00", "s4d00")
    assert len(split.test) == 4 and len(split.train) == 12


def test_session5_validation_is_else_chosen_by_hash(make_rows):
    rows = make_rows()
    split = resolve_split(rows, "session5_test", validation_dialogues=3)
    assert split == resolve_split(rows.select(range(len(rows))), "session5_test", validation_dialogues=3, seed=9)
    assert split.validation == ("s1d02", "s3d00", "s3d01")  # fixed: results of other days must be comparable
    assert set(resolve_split(rows, "session5_test", validation_dialogues=5).validation) > set(split.validation)
    for number in (0, 16):
        with pytest.raises(SplitError, match="validation_dialogues"):
            resolve_split(rows, "session5_test", validation_dialogues=number)


def test_sessions_are_also_read_from_split_names(make_rows):
    rows = make_rows()
    assert resolve_split(rows.remove_columns("session"), "session_fold_2") == resolve_split(rows, "session_fold_2")
    with pytest.raises(SplitError, match="a session column"):
        resolve_split(make_rows(split_of=published).remove_columns("session"), "session5_test")


def test_published_follows_the_split_column_and_measures_speakers(make_rows):
    rows = make_rows(split_of=published)
    split = resolve_split(rows, "published")
    assert split.speaker_independent and len(split.validation) == 4 and len(split.test) == 4
    rows = make_rows(split_of=published, speaker=["Ann"] * 60)
    split = resolve_split(rows, "published")
    assert not split.speaker_independent
    assert any(
        "test and the other parts: 1 shared speakers, as this split declares" in note
        for note in validate_split(rows, split)
    )


def test_published_without_validation_takes_it_from_train(make_rows):
    rows = make_rows(split_of=lambda session, number: "test" if session == 5 else "train")
    split = resolve_split(rows, "published", validation_dialogues=5)
    assert len(split.validation) == 5 and len(split.train) == 11
    assert validate_split(rows, split)[0] == "validation: 5 dialogues taken from train"
    with pytest.raises(SplitError, match="session5_test"):
        resolve_split(make_rows(), "published")


def test_a_dialogue_with_two_splits_is_refused(make_rows):
    splits = ["train"] * 30 + ["test"] * 30
    splits[1] = "test"
    with pytest.raises(SplitError, match="split of dialogue 's1d00'"):
        resolve_split(make_rows(split=splits), "published")


@FEW
@given(seed=st.integers(0, 1000))
def test_drawn_validation_utterances_are_legacy_and_marked(make_rows, seed):
    rows = make_rows()
    split = resolve_split(rows, "validation_utterances_20", seed=seed)
    assert split.legacy and split.unit == "utterance"
    assert (len(split.train), len(split.validation), len(split.test)) == (38, 10, 12)
    notes = validate_split(rows, split)
    assert any(note.startswith("legacy: train and validation share") for note in notes)
    parts = [take(rows, split, part) for part in ("train", "validation", "test")]
    assert len(set().union(*(part["utterance_id"][:] for part in parts))) == 60
    assert not dialogues(parts[2]) & (dialogues(parts[0]) | dialogues(parts[1]))
    assert split == resolve_split(rows, "validation_utterances_20", seed=seed)


def test_the_last_fifth_of_the_utterances_by_id_is_test(make_rows):
    rows = make_rows(dialogues=3, utterances=4)
    rows = rows.select([index for index in range(len(rows)) if index > 4][::-1])  # 55: the cut runs through a dialogue
    split = resolve_split(rows, "last_20_percent", validation_dialogues=3)
    order = sorted(rows["utterance_id"])
    assert sorted(split.test) == order[44:] and sorted({*split.train, *split.validation}) == order[:44]
    assert split.legacy and not split.speaker_independent and split.unit == "utterance"
    assert "legacy: train and test share 1 dialogues" in validate_split(rows, split)
    validated = dialogues(take(rows, split, "validation"))
    assert len(validated) == 3 and not validated & dialogues(take(rows, split, "train"))


@FEW
@given(data=st.data())
def test_any_shared_dialogue_raises(make_rows, data):
    rows = make_rows()
    split = resolve_split(rows, "session_fold_1")
    source, target = data.draw(st.permutations(["train", "validation", "test"]))[:2]
    moved = data.draw(st.sampled_from(getattr(split, source)))
    leaking = replace(split, speaker_independent=False, **{target: (*getattr(split, target), moved)})
    with pytest.raises(SplitError, match=f"common dialogues, got '{moved}'"):
        validate_split(rows, leaking)


def test_a_broken_speaker_promise_names_the_speakers(make_rows):
    rows = make_rows()
    split = resolve_split(rows, "session_fold_1")
    moved = split.train[0]
    broken = replace(split, train=split.train[1:], test=(*split.test, moved))
    with pytest.raises(SplitError, match="test and the other parts, as declared, got 's3F', 's3M'"):
        validate_split(rows, broken)
    broken = replace(split, train=split.train[1:], validation=(*split.validation, moved))
    with pytest.raises(SplitError, match="train and validation, as declared, got 's3F', 's3M'"):
        validate_split(rows, broken)
    notes = validate_split(rows, replace(broken, independent_validation=False))
    assert notes[-1] == "speaker_independent: false for train and validation: 2 shared speakers, as this split declares"


def test_empty_parts_strange_ids_and_repeated_utterances_are_refused(make_rows):
    rows = make_rows()
    split = resolve_split(rows, "session_fold_1")
    for part in ("train", "validation", "test"):
        with pytest.raises(SplitError, match=f"{part} part of session_fold_1: expected at least one dialogue"):
            validate_split(rows, replace(split, **{part: ()}))
    with pytest.raises(SplitError, match="'nowhere'"):
        validate_split(rows, replace(split, train=(*split.train, "nowhere")))
    split = resolve_split(rows, "validation_utterances_20")
    with pytest.raises(SplitError, match="without common utterances"):
        validate_split(rows, replace(split, test=(*split.test, split.train[0])))


def test_part_and_split_names_are_checked(make_rows):
    rows = make_rows()
    with pytest.raises(SplitError, match="one of train, validation, test"):
        take(rows, resolve_split(rows, "session_fold_1"), "dev")
    for name in ("session6_test", "session_fold_x", "session_fold_", ""):
        with pytest.raises(SplitError, match="one of session5_test, published"):
            resolve_split(rows, name)
    with pytest.raises(SplitError, match=r"a session of \[1, 2, 3, 4, 5\]"):
        resolve_split(rows, "session_fold_6")
    with pytest.raises(SplitError, match="dialogues of session 5"):
        resolve_split(make_rows(sessions=4), "session5_test")


def test_a_split_cannot_be_changed():
    split = Split("mine", True, ("a",), ("b",), ("c",))
    with pytest.raises(AttributeError):
        split.test = ("a",)


def real(name: str, corpus: str, label_set: str):
    root = os.environ.get("MM_EMOTION_DATA")
    if not root or not (Path(root) / name).exists():
        pytest.skip(f"MM_EMOTION_DATA holds no {name}")
    return load_table(Path(root) / name, corpus=corpus, label_set=label_set)


@pytest.mark.corpus
def test_the_iemocap_splits():
    rows = real("iemocap", "iemocap", "six_way_dialogue")
    split = resolve_split(rows, "session5_test")
    assert [len(ids) for ids in (split.train, split.validation, split.test)] == [108, 12, 31]
    assert [len(take(rows, split, part)) for part in ("train", "validation", "test")] == [5163, 647, 1623]
    assert any("train and validation: 8 shared speakers" in note for note in validate_split(rows, split))
    assert resolve_split(rows, "published").test == split.test
    for number in range(1, 6):
        assert len(validate_split(rows, resolve_split(rows, f"session_fold_{number}"))) == 1
    assert len(resolve_split(rows, "validation_utterances_20").validation) == round(0.2 * 5810)
    rows = real("iemocap", "iemocap", "four_way_exc")
    split = resolve_split(rows, "last_20_percent")
    assert (len(split.train) + len(split.validation), len(split.test)) == (3948, 988)
    split = resolve_split(rows, "session5_test")
    assert [sum(len(take(rows, split, part)) for part in parts) for parts in (SPLITS[:2], SPLITS[2:])] == [3838, 1098]


@pytest.mark.corpus
def test_the_meld_split_shares_speakers_and_says_so():
    rows = real("meld", "meld", "seven_way")
    split = resolve_split(rows, "published")
    assert not split.speaker_independent
    assert any(note.startswith("speaker_independent: false for test") for note in validate_split(rows, split))


@pytest.mark.corpus
def test_the_mosi_split_takes_validation_videos_from_train():
    rows = real("mosi", "cmu_mosi", "binary")
    split = resolve_split(rows, "published")
    assert [len(ids) for ids in (split.train, split.validation, split.test)] == [50, 12, 31]
    split = resolve_split(rows.add_column("visual", [[0.0]] * len(rows)), "sdk_standard")
    assert split.seen_features and "24 of 31 test dialogues" in split.note


def test_speaker_folds_hold_out_one_speaker_after_another(make_rows):
    rows = make_rows(sessions=4, dialogues=2, speaker=[f"s{session}" for session in "1234" for _ in range(6)])
    split = resolve_split(rows, "speaker_fold_4")
    assert validate_split(rows, split) == ["validation: speaker s1"]
    assert (split.test, split.validation) == (("s4d00", "s4d01"), ("s1d00", "s1d01"))
    assert set(split.train) == {"s2d00", "s2d01", "s3d00", "s3d01"}


def test_with_two_speakers_the_one_that_trains_also_validates_and_the_split_says_so(make_rows):
    rows = make_rows(sessions=2, dialogues=6, speaker=[f"s{session}" for session in "12" for _ in range(18)])
    split = resolve_split(rows, "speaker_fold_2")
    remarks = validate_split(rows, split)
    assert len(split.validation) == 3 and len(split.train) == 3
    assert set(split.test) == {f"s2d{number:02d}" for number in range(6)}
    assert any("train and validation: 1 shared speakers" in remark for remark in remarks)


@pytest.mark.parametrize("name", ["speaker_fold_0", "speaker_fold_6"])
def test_a_fold_without_a_speaker_is_refused(make_rows, name):
    rows = make_rows(utterances=1)
    with pytest.raises(SplitError, match="1 to 5 speakers"):
        resolve_split(rows, name)


def test_the_sdk_s_folds_are_those_of_their_own_column(make_rows):
    folds = ["train", "validation", "test", "test"] * 5
    extra = Features({"sdk_fold": Value("string")})
    rows = make_rows(split_of=published, extra=extra, sdk_fold=[fold for fold in folds for _ in range(3)])
    split = resolve_split(rows, "sdk_standard")
    assert set(split.test) == {f"s{session}d0{number}" for session in range(1, 6) for number in (2, 3)}
    assert set(split.validation) == {f"s{session}d01" for session in range(1, 6)}
    # Of its test dialogues only those of session 5 were in the published test part.
    assert split.seen_features and "8 of 10 test dialogues trained" in " ".join(validate_split(rows, split))
    assert not resolve_split(rows.remove_columns("text"), "sdk_standard").seen_features
    with pytest.raises(SplitError, match="sdk_fold column"):
        resolve_split(make_rows(extra=extra, sdk_fold=[None] * 60), "sdk_standard")


def own_rows(speakers, dialogues=None):
    dialogues = dialogues or [f"d{index}" for index in range(len(speakers))]
    return Dataset.from_dict(
        {"utterance_id": [f"u{i}" for i in range(len(speakers))], "dialogue_id": dialogues, "speaker": speakers}
    )


def test_five_folds_keep_speakers_apart_and_cover_all():
    rows = own_rows([f"s{index % 7}" for index in range(21)])
    tested = []
    for number in range(1, 6):
        split = resolve_split(rows, f"five_fold_{number}")
        assert split.speaker_independent and split.independent_validation
        validate_split(rows, split)
        tested += split.test
    assert sorted(tested) == sorted(rows["dialogue_id"])


def test_five_folds_keep_dialogues_of_a_common_speaker_together():
    rows = own_rows(["a", "b", "b", "c", "d", "e"], ["x", "x", "y", "y", "z", "w"])
    split = resolve_split(rows, "five_fold_1")
    assert set(split.test) == {"x", "y"} and split.speaker_independent


@pytest.mark.parametrize("speakers", [["", "a", "b", "c"], ["a", "a", "b", "b"]])
def test_five_folds_are_by_dialogues_where_speakers_do_not_do(speakers):
    split = resolve_split(own_rows(speakers), "five_fold_2")
    assert not split.speaker_independent and len(split.test) == 1 and "by dialogues" in split.note


def test_five_folds_need_three_dialogues():
    with pytest.raises(SplitError, match="at least three dialogues"):
        resolve_split(own_rows(["a", "b"]), "five_fold_1")
    with pytest.raises(SplitError, match="a fold of 1 to 4"):
        resolve_split(own_rows(["a", "b", "c", "d"]), "five_fold_5")
