"""Word alignment against a slow transcription of its definition, and what must hold for any input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_emotion.errors import FeatureError
from mm_emotion.features.align import Segments, align, hard_unify, impute, joined, sequences, unify

EPSILON = 1e-5


def literal(words, rows, values, collapse):
    """{word: (interval, rows)} as the definition reads: every word looks at every row, sorted by start."""
    words = sorted(words, key=lambda word: word[0])
    order = sorted(range(len(rows)), key=lambda index: rows[index][0])
    found = {}
    for number, (a, b) in enumerate(words):
        if abs(a - b) < EPSILON:
            continue
        kept = []
        for index in order:
            start, end = rows[index]
            if end - a > -EPSILON and b - start > -EPSILON:
                start, end = max(start, a), min(end, b)
                if end - start > EPSILON:
                    kept.append((start, end, values[index]))
        if not kept:
            continue
        if collapse is None:
            found[number] = [((start, end), value) for start, end, value in kept]
            continue
        lengths = [end - start if collapse == "weighted_average" else 1.0 for start, end, _ in kept]
        mean = sum(length * value for length, (_, _, value) in zip(lengths, kept, strict=True)) / sum(lengths)
        found[number] = [((min(start for start, _, _ in kept), max(end for _, end, _ in kept)), mean)]
    return found


def segments(intervals, values=None):
    intervals = np.asarray(intervals, float).reshape(-1, 2)
    return Segments(intervals, np.arange(len(intervals), dtype=float)[:, None] if values is None else values)


def cut(words, rows, values=None, collapse="weighted_average"):
    streams = {"words": {"v": segments(words)}, "audio": {"v": segments(rows, values)}}
    return align(streams, "words", collapse)["audio"]["v"]


grid = st.integers(0, 40).map(lambda tick: tick / 8)
intervals = st.lists(st.tuples(grid, grid).map(sorted), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(intervals, intervals, st.sampled_from(["weighted_average", "plain_average", None]))
def test_it_is_the_definition(words, rows, collapse):
    values = np.random.default_rng(0).normal(size=(len(rows), 3))
    found, expected = cut(words, rows, values, collapse), literal(words, rows, values, collapse)
    flat = [(number, *pair) for number, pairs in expected.items() for pair in pairs]
    assert found.entries.tolist() == [number for number, _, _ in flat]
    if flat:
        np.testing.assert_allclose(found.intervals, [interval for _, interval, _ in flat], atol=1e-12)
        np.testing.assert_allclose(found.features, [value for _, _, value in flat], atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(intervals, intervals, st.randoms())
def test_the_order_of_rows_does_not_matter(words, rows, random):
    values = np.random.default_rng(0).normal(size=(len(rows), 2))
    shuffled = list(range(len(rows)))
    random.shuffle(shuffled)
    straight = cut(words, rows, values)
    other = cut(words, [rows[index] for index in shuffled], values[shuffled])
    np.testing.assert_allclose(straight.features, other.features, atol=1e-9)
    np.testing.assert_array_equal(straight.intervals, other.intervals)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=10), intervals)
def test_words_without_gaps_share_out_all_the_time_of_a_row(lengths, rows):
    edges = np.concatenate([[0], np.cumsum(lengths)]) / 8
    rows = [pair for pair in rows if pair[0] < pair[1] <= edges[-1]]
    if not rows:
        return
    found = cut(np.stack([edges[:-1], edges[1:]], 1), rows, collapse=None)
    assert np.ptp(found.intervals, axis=1).sum() == pytest.approx(sum(end - start for start, end in rows))


def test_aligned_to_itself_it_stays_as_it_is():
    rows = [[0, 1], [1, 2], [2.5, 3]]
    found = cut(rows, rows)
    assert found.features[:, 0].tolist() == [0, 1, 2]
    assert found.intervals.tolist() == rows


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), min_size=1, max_size=10), st.booleans())
def test_aligning_to_itself_is_the_identity(pieces, plain):
    edges = np.cumsum([0.0, *(number / 8 for pair in pieces for number in pair)])
    rows = np.stack([edges[:-1:2], edges[1::2]], 1)  # with gaps between them
    values = np.random.default_rng(0).normal(size=(len(rows), 3))
    found = cut(rows, rows, values, "plain_average" if plain else "weighted_average")
    np.testing.assert_allclose(found.features, values, rtol=1e-12)
    np.testing.assert_array_equal(found.intervals, rows)


@settings(max_examples=40, deadline=None)
@given(intervals, st.randoms())
def test_the_order_of_entries_does_not_matter(rows, random):
    values = np.random.default_rng(0).normal(size=(len(rows), 2))
    chunks = [(f"v[{i}]", Segments(np.array([row]), values[i : i + 1])) for i, row in enumerate(rows)]
    words = {"v": segments([[0, 2], [2, 5]])}
    straight = align({"words": words, "audio": joined(dict(chunks))}, "words")["audio"]["v"]
    random.shuffle(chunks)
    other = align({"words": words, "audio": joined(dict(chunks))}, "words")["audio"]["v"]
    np.testing.assert_allclose(straight.features, other.features, atol=1e-9)
    np.testing.assert_array_equal(straight.entries, other.entries)


def test_chunks_of_a_video_are_joined_under_its_name():
    stream = {"a[1]": segments([[2, 3], [3, 4]]), "b": segments([[0, 1]]), "a[0]": segments([[0, 1]])}
    found = joined(stream)
    assert list(found) == ["a", "b"]
    assert found["a"].intervals.tolist() == [[0, 1], [2, 3], [3, 4]] and found["a"].entries.tolist() == [0, 1, 1]
    assert found["b"].entries.tolist() == [0]
    with pytest.raises(FeatureError, match="one width"):
        joined({"a[0]": segments([[0, 1]]), "a[1]": segments([[0, 1]], np.zeros((1, 2)))})
    with pytest.raises(FeatureError, match="a number"):
        joined({"a[x]": segments([[0, 1]])})


def test_overlap_weights_the_mean():
    values = np.array([[0.0], [4.0]])
    assert cut([[0, 1]], [[-0.5, 0.25], [0.25, 1.5]], values).features.tolist() == [[3.0]]
    assert cut([[0, 1]], [[-0.5, 0.25], [0.25, 1.5]], values, "plain_average").features.tolist() == [[2.0]]


def test_a_row_that_only_touches_is_left_out():
    assert cut([[0, 1]], [[0.5, 1], [1, 2]]).features.tolist() == [[0.0]]
    assert len(cut([[0, 1]], [[1, 2]])) == 0


def test_values_that_are_not_finite_count_as_zero():
    values = np.array([[-np.inf], [4.0]])
    assert cut([[0, 1]], [[0, 0.5], [0.5, 1]], values).features.tolist() == [[2.0]]


@pytest.mark.parametrize("collapse", ["weighted_average", "plain_average", None])
def test_a_stream_without_rows_is_imputed_whole(collapse):
    empty = Segments(np.zeros((0, 2)), np.zeros((0, 3), np.float32))
    aligned = align({"words": {"a": segments([[0, 1], [1, 2]])}, "face": {"a": empty}}, "words", collapse)
    assert len(aligned["face"]["a"]) == 0
    assert impute(aligned, "words")["face"]["a"].features.tolist() == [[0.0] * 3] * 2


def test_the_mean_of_whole_numbers_is_not_cut_off():
    counts = Segments(np.array([[0, 0.5], [0.5, 1]]), np.array([[1], [2]]))
    aligned = align({"words": {"a": segments([[0, 1]])}, "counts": {"a": counts}}, "words")
    assert aligned["counts"]["a"].features.tolist() == [[1.5]]


def test_what_is_missing_is_imputed_and_what_not_all_have_is_dropped():
    streams = {
        "words": {"v": segments([[0, 1], [1, 2], [2, 3]])},
        "audio": {"v": segments([[0, 1], [2, 3]])},
        "visual": {"v": segments([[1, 3]])},
    }
    aligned = align(streams, "words")
    assert aligned["audio"]["v"].entries.tolist() == [0, 2]
    full = impute(aligned, "words")
    assert full["audio"]["v"].features.tolist() == [[0.0], [0.0], [1.0]]
    assert full["audio"]["v"].intervals.tolist() == [[0, 1], [1, 2], [2, 3]]
    assert {name: stream["v"].entries.tolist() for name, stream in hard_unify(aligned).items()} == {
        "words": [2],
        "audio": [2],
        "visual": [2],
    }


def test_only_videos_that_all_streams_have_are_kept():
    one, two = segments([[0, 1]]), segments([[0, 1]])
    found = unify({"a": {"x": one, "y": two}, "b": {"y": two, "z": one}})
    assert {name: list(stream) for name, stream in found.items()} == {"a": ["y"], "b": ["y"]}


def test_words_of_a_sentence_become_a_padded_sequence():
    streams = {
        "labels": {"v": segments([[0, 2], [2, 5]])},
        "words": {"v": segments([[0, 1], [1, 2], [2, 3], [3, 4], [4, 5]], np.arange(1.0, 6)[:, None])},
    }
    words = align(streams, "labels", collapse=None)["words"]
    assert sequences(words, 3)["v"][..., 0].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert sequences(words, 3, "right")["v"][..., 0].tolist() == [[1, 2, 0], [3, 4, 5]]
    assert sequences(words, 2)["v"][..., 0].tolist() == [[1, 2], [4, 5]]
    assert sequences(words, 2, "right")["v"][..., 0].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("given_intervals", "values", "field"),
    [
        ([[0, 1]], np.zeros((2, 1)), "intervals"),
        ([[1, 0]], np.zeros((1, 1)), "intervals"),
        ([[0, np.nan]], np.zeros((1, 1)), "intervals"),
        ([[0, 1]], np.zeros(1), "features"),
    ],
)
def test_malformed_segments_are_refused(given_intervals, values, field):
    with pytest.raises(FeatureError, match=field):
        Segments(np.asarray(given_intervals, float), values)


def test_an_unknown_reference_is_refused():
    with pytest.raises(FeatureError, match="reference"):
        align({"words": {"v": segments([[0, 1]])}}, "word")
