"""Rows of a prepared dataset: their columns, the check of them, and columns as numpy arrays."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from datasets import Dataset, Value

from mm_emotion.errors import CorpusError, FeatureError
from mm_emotion.schema import MODALITIES

CONTRACT_COLUMNS = {
    "utterance_id": Value("string"),
    "dialogue_id": Value("string"),
    "position": Value("int32"),
    "party": Value("int32"),
    "speaker": Value("string"),
    "transcript": Value("string"),
    "audio_path": Value("string"),
    "video_path": Value("string"),
    "start": Value("float64"),
    "end": Value("float64"),
    "split": Value("string"),
}
"""The columns of every prepared dataset, beside `label` or `affect` and the features."""

FEATURE_COLUMNS = ("input_ids", *MODALITIES)


def column_values(rows: Dataset, name: str) -> list:
    """One column: a list of numpy arrays ((D,) or (T, D), None where missing) for lists, else of plain values.

    Raises CorpusError when there is no such column, FeatureError when the steps of a sequence have several widths.
    """
    if name not in rows.column_names:
        raise CorpusError("column", f"one of {', '.join(rows.column_names)}", repr(name))
    column = rows.select_columns([name]).with_format("arrow")[:].column(0)
    if not (_is_list(column.type) or isinstance(column.type, pa.ExtensionType)):
        return column.to_pylist()
    values = []
    for chunk in column.chunks:
        for array in _arrays(chunk):
            if array is not None and array.dtype == object:
                field = f"{name} of utterance {rows[len(values)]['utterance_id']!r}"
                raise FeatureError(field, "steps of one width", "several widths")
            values.append(array)
    return values


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def _arrays(chunk: pa.Array) -> Iterator[np.ndarray | None]:
    """Views of the rows of an arrow list array; an object array stands for a row that is ragged inside."""
    lists = _plain_lists(chunk)
    inner = lists.values
    nested = _is_list(inner.type)
    if nested:
        inner = _plain_lists(inner)
        inner_offsets = inner.offsets.to_numpy()
    flat = (inner.values if nested else inner).to_numpy(zero_copy_only=False)
    offsets = lists.offsets.to_numpy()
    for valid, start, stop in zip(lists.is_valid().to_pylist(), offsets[:-1], offsets[1:], strict=True):
        if not valid:
            yield None
        elif not nested:
            yield flat[start:stop]
        elif start == stop:
            yield np.empty((0, 0), dtype=np.float32)
        else:
            cuts = inner_offsets[start : stop + 1]
            even = len(set(np.diff(cuts).tolist())) == 1
            yield flat[cuts[0] : cuts[-1]].reshape(stop - start, -1) if even else np.empty(0, dtype=object)


def _plain_lists(array: pa.Array) -> pa.ListArray | pa.LargeListArray:
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if pa.types.is_fixed_size_list(array.type):
        return array.cast(pa.list_(array.type.value_type))
    return array


def check_rows(rows: Dataset) -> None:
    """Check the rows against the data contract.

    Raises CorpusError for an empty dataset, a missing column, a repeated or empty id, rows out of order, a wrong party
    or an unknown label, and FeatureError for a feature that is empty, not finite or of another width; each names the
    utterance.
    """
    if len(rows) == 0:
        raise CorpusError("rows", "at least one utterance", "none")
    missing = [name for name in CONTRACT_COLUMNS if name not in rows.column_names]
    if missing:
        raise CorpusError("columns", f"the columns {', '.join(CONTRACT_COLUMNS)}", f"none named {', '.join(missing)}")
    if not {"label", "affect"} & set(rows.column_names):
        raise CorpusError("columns", "label or affect", "neither")
    ids = column_values(rows, "utterance_id")
    _check_order(rows, ids)
    for utterance_id, party in zip(ids, column_values(rows, "party"), strict=True):
        if party is None or party < 0:
            raise CorpusError(f"party of utterance {utterance_id!r}", "an integer >= 0", party)
    if "label" in rows.column_names:
        _check_labels(rows, ids)
    if "affect" in rows.column_names:
        _check_arrays("affect", ids, column_values(rows, "affect"), allow_nan=True)
    for name in FEATURE_COLUMNS:
        if name in rows.column_names:
            _check_arrays(name, ids, column_values(rows, name), allow_nan=False)


def _check_order(rows: Dataset, ids: list[str]) -> None:
    seen, ended = set(), set()
    previous = (None, None)
    for utterance_id, dialogue_id, position in zip(
        ids, column_values(rows, "dialogue_id"), column_values(rows, "position"), strict=True
    ):
        if not utterance_id or not dialogue_id or position is None:
            raise CorpusError("utterance_id, dialogue_id, position", "a value", (utterance_id, dialogue_id, position))
        if utterance_id in seen:
            raise CorpusError("utterance_id", "each id once", repr(utterance_id))
        seen.add(utterance_id)
        if dialogue_id != previous[0]:
            if dialogue_id in ended:
                raise CorpusError("dialogue_id", "the rows of a dialogue together", f"{utterance_id!r} apart")
            ended.add(previous[0])
        elif position <= previous[1]:
            field = f"position of utterance {utterance_id!r}"
            raise CorpusError(field, f"more than {previous[1]}, that of the row before", position)
        previous = (dialogue_id, position)


def _check_labels(rows: Dataset, ids: list[str]) -> None:
    names = rows.features["label"].names
    for utterance_id, label in zip(ids, column_values(rows, "label"), strict=True):
        if label is not None and not 0 <= label < len(names):
            raise CorpusError(f"label of utterance {utterance_id!r}", f"0..{len(names) - 1} or None", label)


def _check_arrays(name: str, ids: list[str], values: list[np.ndarray | None], *, allow_nan: bool) -> None:
    width = None
    for utterance_id, array in zip(ids, values, strict=True):
        if array is None:
            continue
        field = f"{name} of utterance {utterance_id!r}"
        if array.size == 0:
            raise FeatureError(field, "at least one value", f"shape {array.shape}")
        bad = np.isinf(array) if allow_nan else ~np.isfinite(array)
        if bad.any():
            raise FeatureError(field, "finite values", f"{np.count_nonzero(bad)} NaN or infinite")
        if name == "input_ids":
            continue
        given = (array.ndim, array.shape[-1])
        if width not in (None, given):
            raise FeatureError(field, f"{width[1]} values a {_unit(width)}", f"{given[1]} a {_unit(given)}")
        width = given


def _unit(width: tuple[int, int]) -> str:
    return "step" if width[0] == 2 else "vector"
