"""The splits of the two papers that predict numbers."""

import pytest

from mm_emotion.data.affect_splits import POOLED_SHARES
from mm_emotion.data.splits import resolve_split, validate_split
from mm_emotion.errors import SplitError


def test_five_development_recordings_validate(make_rows):
    rows = make_rows(split_of=lambda session, number: "train" if session < 3 else "validation")
    split = resolve_split(rows, "development_halves")
    assert (len(split.train), len(split.validation), len(split.test)) == (8, 5, 7)
    assert all(name in split.note for name in split.validation) and "seed 0" in split.note
    assert resolve_split(rows, "development_halves") == split
    assert resolve_split(rows, "development_halves", seed=1).validation != split.validation
    assert not split.speaker_independent  # sessions share speakers here
    validate_split(rows, split)


def test_the_pool_is_cut_at_the_published_shares(make_rows):
    rows = make_rows(
        sessions=50, split_of=lambda session, number: ("train", "validation", "test")[min(2, session // 20)]
    )
    split = resolve_split(rows, "pooled")
    sizes = [len(getattr(split, part)) for part in ("train", "validation", "test")]
    assert sum(sizes) == 39 * 4
    assert [size / sum(sizes) for size in sizes] == pytest.approx(
        [share / sum(POOLED_SHARES) for share in POOLED_SHARES], abs=0.02
    )
    assert not any(name.startswith(f"s{number}d") for number in range(40, 51) for name in split.train)
    validate_split(rows, split)


def test_few_dialogues_still_fill_every_part(make_rows):
    rows = make_rows(sessions=3, dialogues=1, split_of=lambda session, number: "train")
    split = resolve_split(rows, "pooled")
    assert [len(part) for part in (split.train, split.validation, split.test)] == [1, 1, 1]


@pytest.mark.parametrize("name", ["development_halves", "pooled"])
def test_a_corpus_without_the_parts_is_refused(make_rows, name):
    with pytest.raises(SplitError, match="split column"):
        resolve_split(make_rows(), name)
