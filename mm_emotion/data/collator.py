"""Utterance rows to one padded batch: the only place where a ragged axis is padded."""

import operator
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch

from mm_emotion.errors import BatchError, FeatureError
from mm_emotion.schema import BATCH_KEYS, IGNORE_INDEX, MODALITIES

Cell = tuple[int, int]
"""Where an utterance stands in the batch: (dialogue, utterance)."""

CLIP_AXES = 4  # a video clip is (channels, frames, height, width) and is stacked as it is


class EmotionCollator:
    """Dialogues, each a list of utterance rows, to the batch of the data contract, padded on the right.

    A row holds `party`, any of `input_ids` (T,), `text`, `audio`, `visual`, `mocap` (each (D,) or (T, D); a clip
    (C, F, Y, X) for visual; None or absent where the modality is missing), and `label` (int; None or -100 for context
    only) or `affect` (K,) with NaN for a missing value. A modality that no row of the batch has gets no key.
    `num_parties` fixes P, otherwise it is the largest party of the batch plus one; `modalities` keeps only some
    ("text" covers `input_ids`).

    Errors: BatchError for an empty batch or dialogue, a wrong party or label; FeatureError for a feature of another
    width, of no length, not finite, or a vector among sequences.
    """

    def __init__(self, num_parties: int | None = None, modalities: Sequence[str] | None = None):
        if num_parties is not None and num_parties < 1:
            raise BatchError("num_parties", "at least 1", num_parties)
        unknown = sorted(set(modalities or ()) - set(MODALITIES))
        if unknown:
            raise BatchError("modalities", f"some of {', '.join(MODALITIES)}", ", ".join(unknown))
        self.num_parties = num_parties
        self.modalities = tuple(name for name in MODALITIES if modalities is None or name in modalities)

    def __call__(self, dialogues: Sequence[Sequence[dict]]) -> dict[str, torch.Tensor]:
        rows = _cells(dialogues)
        shape = (len(dialogues), max(len(dialogue) for dialogue in dialogues))  # (B, U)
        batch = {"modality_mask": np.zeros((*shape, len(MODALITIES)), dtype=bool)}
        batch["utterance_mask"] = np.zeros(shape, dtype=bool)
        batch["utterance_mask"][_index(rows)] = True
        batch["speaker_mask"] = _speaker_mask(rows, shape, self.num_parties)
        for name in self.modalities:
            columns = ("text", "input_ids") if name == "text" else (name,)
            for column in columns:
                values = dict(_values(rows, column))
                if values:
                    _add_column(batch, name, column, values, rows, shape)
        labels = _labels(rows, shape)
        if labels is not None:
            batch["labels"] = labels
        return {key: torch.from_numpy(batch[key]) for key in BATCH_KEYS if key in batch}


def _cells(dialogues: Sequence[Sequence[dict]]) -> dict[Cell, dict]:
    if len(dialogues) == 0:
        raise BatchError("batch", "at least one dialogue", "none")
    rows = {}
    for b, dialogue in enumerate(dialogues):
        if isinstance(dialogue, dict):
            raise BatchError(f"dialogue {b}", "a list of utterance rows", "one row", "wrap it in a list")
        if len(dialogue) == 0:
            raise BatchError(f"dialogue {b}", "at least one utterance", "none")
        rows.update({(b, u): row for u, row in enumerate(dialogue)})
    return rows


def _index(cells: Iterable[Cell]) -> tuple[list[int], list[int]]:
    dialogues, utterances = zip(*cells, strict=True)
    return list(dialogues), list(utterances)


def _where(column: str, row: dict, cell: Cell) -> str:
    if row.get("utterance_id"):
        return f"{column} of utterance {row['utterance_id']!r}"
    return f"{column} of utterance {cell[1]} in dialogue {cell[0]}"


def _integer(value: object, field: str, expected: str) -> int:
    try:
        return operator.index(value)
    except TypeError:
        raise BatchError(field, expected, repr(value)) from None


def _speaker_mask(rows: dict[Cell, dict], shape: Cell, num_parties: int | None) -> np.ndarray:
    parties = []
    for cell, row in rows.items():
        field = _where("party", row, cell)
        expected = "an integer >= 0" if num_parties is None else f"an integer in 0..{num_parties - 1}"
        party = _integer(row.get("party"), field, expected)
        if party < 0 or (num_parties is not None and party >= num_parties):
            raise BatchError(field, expected, party)
        parties.append(party)
    mask = np.zeros((*shape, num_parties or max(parties) + 1), dtype=bool)  # (B, U, P)
    mask[(*_index(rows), parties)] = True
    return mask


def _values(rows: dict[Cell, dict], column: str) -> Iterator[tuple[Cell, np.ndarray]]:
    expected_axes = {"input_ids": (1,), "visual": (1, 2, CLIP_AXES)}.get(column, (1, 2))
    for cell, row in rows.items():
        value = row.get(column)
        if value is None:
            continue
        field = _where(column, row, cell)
        array = _array(value, field)
        if array.size == 0:
            raise FeatureError(field, "at least one value", f"shape {array.shape}")
        if array.ndim not in expected_axes:
            raise FeatureError(field, f"{' or '.join(map(str, expected_axes))} axes", f"shape {array.shape}")
        yield cell, _indices(array, field) if column == "input_ids" else _finite(array, field)


def _array(value: object, field: str) -> np.ndarray:
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()
    try:
        array = np.asarray(value)
    except ValueError:
        raise FeatureError(field, "rows of one width", "rows of several widths") from None
    if array.dtype.kind not in "fiub":
        raise FeatureError(field, "numbers", f"{array.dtype} values")
    return array


def _finite(array: np.ndarray, field: str) -> np.ndarray:
    with np.errstate(over="ignore"):  # too large for float32 becomes infinite, which is refused below
        array = array.astype(np.float32, copy=False)
    if not np.isfinite(array).all():
        raise FeatureError(field, "finite values", f"{np.count_nonzero(~np.isfinite(array))} NaN or infinite")
    return array


def _indices(array: np.ndarray, field: str) -> np.ndarray:
    if array.dtype.kind not in "iu":
        raise FeatureError(field, "integers", f"{array.dtype} values")
    if array.min() < 0:
        raise FeatureError(field, "indices >= 0", int(array.min()))
    return array.astype(np.int64, copy=False)


def _add_column(
    batch: dict[str, np.ndarray],
    modality: str,
    column: str,
    values: dict[Cell, np.ndarray],
    rows: dict[Cell, dict],
    shape: Cell,
) -> None:
    """Fill the padded array of one column, its time mask where it has a T axis, and its place in `modality_mask`."""
    first = next(iter(values.values()))
    has_time = column == "input_ids" or first.ndim == 2
    width = first.shape[1:] if has_time else first.shape
    for cell, array in values.items():
        if array.ndim != first.ndim or (array.shape[1:] if has_time else array.shape) != width:
            expected = f"shape {('T', *width) if has_time else width} as in the rest of the batch"
            raise FeatureError(_where(column, rows[cell], cell), expected, f"shape {array.shape}")
    index = _index(values)
    batch["modality_mask"][(*index, MODALITIES.index(modality))] = True
    if not has_time:
        batch[column] = np.zeros((*shape, *width), dtype=first.dtype)
        batch[column][index] = np.stack(list(values.values()))
        return
    lengths = np.zeros(shape, dtype=np.int64)
    lengths[index] = [len(array) for array in values.values()]
    batch[column] = np.zeros((*shape, lengths.max(), *width), dtype=first.dtype)
    for cell, array in values.items():
        batch[column][(*cell, slice(len(array)))] = array
    mask = np.arange(lengths.max()) < lengths[..., None]  # (B, U, T)
    other = batch.setdefault(f"{modality}_mask", mask)
    if not np.array_equal(other, mask):
        raise BatchError("input_ids", "as many steps in each utterance as text has", "other lengths")


def _labels(rows: dict[Cell, dict], shape: Cell) -> np.ndarray | None:
    names = {name for row in rows.values() for name in ("label", "affect") if name in row}
    if names == {"label", "affect"}:
        raise BatchError("labels", "label or affect", "both in one batch")
    if names == {"label"}:
        return _classes(rows, shape)
    return _affect(rows, shape) if names else None


def _classes(rows: dict[Cell, dict], shape: Cell) -> np.ndarray:
    labels = np.full(shape, IGNORE_INDEX, dtype=np.int64)  # (B, U)
    for cell, row in rows.items():
        if row.get("label") is None:
            continue
        field, expected = _where("label", row, cell), f"an integer >= 0, {IGNORE_INDEX} or None"
        labels[cell] = _integer(row["label"], field, expected)
        if labels[cell] < 0 and labels[cell] != IGNORE_INDEX:
            raise BatchError(field, expected, row["label"])
    return labels


def _affect(rows: dict[Cell, dict], shape: Cell) -> np.ndarray | None:
    labels = None
    for cell, row in rows.items():
        if row.get("affect") is None:
            continue
        field = _where("affect", row, cell)
        values = _array(row["affect"], field).astype(np.float32)
        if labels is None and values.ndim == 1 and values.size:
            labels = np.full((*shape, len(values)), np.nan, dtype=np.float32)  # (B, U, K)
        if labels is None or values.shape != labels.shape[2:]:
            expected = "a vector" if labels is None else f"shape {labels.shape[2:]}"
            raise BatchError(field, expected, f"shape {values.shape}")
        if np.isinf(values).any():
            raise BatchError(field, "finite values or NaN", "an infinite value")
        labels[cell] = values
    return labels
