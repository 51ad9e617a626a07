"""Made-up rows of the data contract."""

from collections.abc import Callable

import numpy as np
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from mm_emotion.data.rows import CONTRACT_COLUMNS
from mm_emotion.schema import LABEL_SETS

NAMES = list(LABEL_SETS["iemocap"]["six_way"])


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., Dataset]:
    """`make_rows(sessions, dialogues, utterances, split_of, extra, **columns)`; a column given as None is left out."""

    def make(sessions=5, dialogues=4, utterances=3, split_of=None, extra: Features | None = None, **columns) -> Dataset:
        rows = []
        for session in range(1, sessions + 1):
            for number in range(dialogues):
                dialogue = f"s{session}d{number:02d}"
                for position in range(utterances):
                    rows.append(
                        {
                            "utterance_id": f"{dialogue}u{position}",
                            "dialogue_id": dialogue,
                            "position": position,
                            "party": position % 2,
                            "speaker": f"s{session}{'FM'[position % 2]}",
                            "transcript": f"word{position}",
                            "audio_path": "",
                            "video_path": "",
                            "start": float(position),
                            "end": position + 0.5,
                            "split": split_of(session, number) if split_of else f"session{session}",
                            "session": session,
                            "label": (number + position) % len(NAMES),
                            "text": np.float32([session, number, position]),
                        }
                    )
        table = {name: [row[name] for row in rows] for name in rows[0]}
        features = {
            **CONTRACT_COLUMNS,
            "session": Value("int32"),
            "label": ClassLabel(names=NAMES),
            "text": List(Value("float32")),
            **(extra or {}),
        }
        table |= columns
        features = {name: features[name] for name in table if table[name] is not None}
        return Dataset.from_dict({name: table[name] for name in features}, features=Features(features))

    return make
