"""Stage one to stage two: the hidden states of an utterance model become a feature column."""

from collections.abc import Callable, Sequence

import numpy as np
from datasets import Dataset, Features, List, Value

from mm_emotion.errors import FeatureError


def add_vectors(rows: Dataset, column: str, vectors: np.ndarray, present: np.ndarray | None = None) -> Dataset:
    """`rows` with `vectors` (N, D) as float32 column `column`, in the place of one of that name.

    Rows where `present` (N,) is False had nothing to encode and get None.

    Raises FeatureError when their number differs from the rows or one is not finite.
    """
    if len(vectors) != len(rows):
        raise FeatureError(column, f"{len(rows)} vectors", len(vectors))
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=-1))
    if len(bad):
        raise FeatureError(f"{column} of {rows['utterance_id'][int(bad[0])]}", "finite numbers", "NaN or Inf")
    if column in rows.column_names:
        rows = rows.remove_columns(column)
    feature = Features({column: List(Value("float32"))})[column]
    values = list(vectors.astype(np.float32))
    if present is not None:
        values = [value if here else None for value, here in zip(values, present, strict=True)]
    return rows.add_column(column, values, feature=feature)


def dialogue_folds(dialogue_ids: Sequence[str], folds: int, seed: int) -> list[set[str]]:
    """Cut the distinct dialogues into `folds` parts of like size, in an order drawn from the seed."""
    distinct = sorted(set(dialogue_ids))
    if folds < 2 or folds > len(distinct):
        raise FeatureError("encoders.folds", f"2 to {len(distinct)} (the number of training dialogues)", folds)
    order = np.random.default_rng([seed, len(distinct)]).permutation(len(distinct))
    return [{distinct[index] for index in part} for part in np.array_split(order, folds)]


def out_of_fold(
    dialogue_ids: Sequence[str],
    folds: int,
    seed: int,
    encode_without: Callable[[int, set[str]], np.ndarray],
) -> np.ndarray:
    """Vectors (N, D) of training rows, each from a network that was trained without the row's dialogue.

    `encode_without(k, held_out)` trains the k-th network on the other dialogues and returns the vectors of the rows of
    the dialogues held out, in row order.
    """
    ids = np.asarray(dialogue_ids, dtype=object)
    vectors: np.ndarray | None = None
    for number, held_out in enumerate(dialogue_folds(dialogue_ids, folds, seed)):
        where = np.flatnonzero([name in held_out for name in ids])
        encoded = encode_without(number, held_out)
        if vectors is None:
            vectors = np.empty((len(ids), encoded.shape[1]), dtype=np.float32)
        vectors[where] = encoded
    return vectors
