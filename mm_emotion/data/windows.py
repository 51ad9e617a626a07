"""What was said before as the steps of a sequence: utterance vectors of a dialogue to sequences that a model reads."""

from collections.abc import Sequence

import numpy as np
from datasets import Dataset, Features, List, Value

from mm_emotion.data.rows import column_values
from mm_emotion.errors import FeatureError


def with_windows(rows: Dataset, columns: Sequence[str], length: int) -> Dataset:
    """Rows whose `columns` hold sequences (T, D): up to `length` vectors of its dialogue, its own last.

    Raises:
        FeatureError: a length under 1, or a column that holds other than a vector (D,) in every row.
    """
    if length < 1:
        raise FeatureError("length", "at least 1 utterance", length)
    dialogues = column_values(rows, "dialogue_id")
    starts = [0] * len(dialogues)  # the row that each row's window begins with
    for index in range(1, len(dialogues)):
        same = dialogues[index] == dialogues[index - 1]
        starts[index] = max(starts[index - 1], index - length + 1) if same else index
    for column in columns:
        vectors = column_values(rows, column)
        wrong = next((i for i, vector in enumerate(vectors) if np.ndim(vector) != 1), None)
        if wrong is not None:
            given = np.shape(vectors[wrong])
            raise FeatureError(f"{column} of utterance {rows[wrong]['utterance_id']!r}", "a vector", f"shape {given}")
        windows = [np.stack(vectors[start : index + 1]).tolist() for index, start in enumerate(starts)]
        kind = Features({column: List(List(Value("float32")))})[column]
        rows = rows.remove_columns(column).add_column(column, windows, feature=kind)
    return rows
