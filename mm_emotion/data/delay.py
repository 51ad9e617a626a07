"""Labels of frame-level affect moved to the frames that they were given for."""

import numpy as np
from datasets import Dataset, Features

from mm_emotion.data.rows import column_values
from mm_emotion.errors import CorpusError


def advance_labels(rows: Dataset, frames: int, keep_length: bool = False) -> Dataset:
    """Rows whose `affect` is that of the row `frames` later in its recording (dialogue).

    The last `frames` rows of a recording are without a label then, or have its last one with `keep_length`.

    Raises:
        CorpusError: there is no `affect`, or fewer than 0 frames.
    """
    if frames < 0:
        raise CorpusError("frames", "at least 0", frames)
    values, dialogues = column_values(rows, "affect"), np.asarray(column_values(rows, "dialogue_id"), dtype=object)
    if not frames:
        return rows
    ends = np.append(np.flatnonzero(dialogues[1:] != dialogues[:-1]) + 1, len(dialogues))
    last = np.repeat(ends, np.diff(ends, prepend=0)) - 1  # the last row of each row's recording
    sources = np.arange(len(dialogues)) + frames
    moved = [
        values[source] if source <= end else values[end] if keep_length else None
        for source, end in zip(sources.tolist(), last.tolist(), strict=True)
    ]
    kind = Features({"affect": rows.features["affect"]})["affect"]
    return rows.remove_columns("affect").add_column("affect", moved, feature=kind)
