"""Columns as arrays, and the check of rows against the data contract."""

import numpy as np
import pytest
from datasets import Array2D, Dataset, Features, List, Value

from mm_emotion.data.rows import CONTRACT_COLUMNS, check_rows, column_values
from mm_emotion.errors import CorpusError, FeatureError


def test_each_kind_of_list_column_becomes_arrays():
    features = Features(
        {
            "vector": List(Value("float32")),
            "fixed": List(Value("float32"), length=2),
            "steps": Array2D((None, 2), "float32"),
            "nested": List(List(Value("float32"))),
            "ids": List(Value("int32")),
        }
    )
    steps = [[[1, 2], [3, 4], [5, 6]], None, [[7, 8]]]
    vectors = {"vector": [[1, 2], None, [3]], "fixed": [[1, 2], None, [3, 4]], "ids": [[1], None, [2, 3]]}
    values = {**vectors, "steps": steps, "nested": steps}
    rows = Dataset.from_dict({name: values[name] for name in features}, features=features)
    for name, expected in values.items():
        for order in ([0, 1, 2], [2, 1], [1, 2, 0]):
            arrays = column_values(rows.select(order), name)
            assert [None if array is None else array.tolist() for array in arrays] == [expected[i] for i in order]
    assert column_values(rows, "steps")[0].shape == (3, 2) and column_values(rows, "ids")[2].dtype == np.int32


def test_plain_columns_stay_lists(make_rows):
    rows = make_rows(sessions=1, dialogues=1, label=[1, None, 2])
    assert column_values(rows, "label") == [1, None, 2]
    assert column_values(rows, "utterance_id") == ["s1d00u0", "s1d00u1", "s1d00u2"]
    with pytest.raises(CorpusError, match="'smell'"):
        column_values(rows, "smell")


def test_good_rows_pass(make_rows):
    check_rows(make_rows())
    check_rows(make_rows(label=None, affect=[[1.0, np.nan]] * 60, extra={"affect": List(Value("float32"))}))
    features = {"audio": Array2D((None, 2), "float32"), "input_ids": List(Value("int32"))}
    audio = [np.ones((number % 5 + 1, 2)) if number % 3 else None for number in range(60)]
    check_rows(make_rows(audio=audio, input_ids=[[1] * (number % 4 + 1) for number in range(60)], extra=features))


@pytest.mark.parametrize("missing", [*CONTRACT_COLUMNS, "label"])
def test_a_missing_column_is_named(make_rows, missing):
    with pytest.raises(CorpusError, match=missing):
        check_rows(make_rows(**{missing: None}))


def change(values: list, index: int, value) -> list:
    return [*values[:index], value, *values[index + 1 :]]


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("utterance_id", "s1d00u0", CorpusError, "each id once, got 's1d00u0'"),
        ("utterance_id", "", CorpusError, "a value"),
        ("dialogue_id", "s1d02", CorpusError, "'s1d01u2' apart"),
        ("position", 0, CorpusError, "position of utterance 's1d01u1'"),
        ("party", -1, CorpusError, "party of utterance 's1d01u1'"),
        ("label", -1, CorpusError, "label of utterance 's1d01u1'"),
        ("text", [1.0, 2.0], FeatureError, "text of utterance 's1d01u1': expected 3 values a vector, got 2"),
        ("text", [1.0, np.nan, 2.0], FeatureError, "text of utterance 's1d01u1': expected finite values"),
        ("text", [], FeatureError, "at least one value"),
    ],
)
def test_a_bad_row_is_named(make_rows, name, value, error, message):
    # row 4 is the middle utterance of the second dialogue
    with pytest.raises(error, match=message):
        check_rows(make_rows(**{name: change(make_rows()[name][:], 4, value)}))


def test_uneven_steps_and_infinite_affect_are_named(make_rows):
    steps = change([[[1.0, 2.0]]] * 60, 4, [[1.0, 2.0], [3.0]])
    with pytest.raises(FeatureError, match="audio of utterance 's1d01u1': expected steps of one width"):
        check_rows(make_rows(audio=steps, extra={"audio": List(List(Value("float32")))}))
    affect = change([[1.0]] * 60, 4, [np.inf])
    with pytest.raises(FeatureError, match="affect of utterance 's1d01u1'"):
        check_rows(make_rows(label=None, affect=affect, extra={"affect": List(Value("float32"))}))


def test_no_rows_are_refused(make_rows):
    with pytest.raises(CorpusError, match="at least one utterance"):
        check_rows(make_rows().select([]))
