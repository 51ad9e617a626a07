"""A tiny corpus of made-up words whose emotion depends on the utterance before."""

import numpy as np
import pytest
from datasets import ClassLabel, Dataset

from mm_emotion.schema import LABEL_SETS

WORDS = ("lake", "rain", "door", "train", "letter", "garden")


def make_corpus(dialogues_per_session: int = 3, sessions: int = 5, seed: int = 0) -> Dataset:
    """Rows of the data contract: `sessions` x `dialogues_per_session` dialogues of 3 to 6 utterances."""
    random = np.random.default_rng(seed)
    rows = []
    for session in range(1, sessions + 1):
        for number in range(dialogues_per_session):
            dialogue = f"Ses{session:02d}F_impro{number:02d}"
            label = int(random.integers(6))
            for position in range(int(random.integers(3, 7))):
                label = label if random.random() < 0.5 else int(random.integers(6))
                words = [WORDS[label], str(random.choice(["so", "well", "now"]))]
                speaker = "FM"[position % 2]
                rows.append(
                    {
                        "utterance_id": f"{dialogue}_{speaker}{position:03d}",
                        "dialogue_id": dialogue,
                        "position": position,
                        "party": position % 2,
                        "speaker": f"Ses{session:02d}_{speaker}",
                        "transcript": " ".join(words),
                        "audio_path": "",
                        "video_path": "",
                        "start": float(position),
                        "end": position + 0.5,
                        "split": f"session{session}",
                        "session": session,
                        "scenario": "scripted" if number % 2 else "improvised",
                        "text": random.standard_normal(8).astype("float32").tolist(),
                        "label": label,
                    }
                )
    names = list(LABEL_SETS["iemocap"]["six_way"])
    return Dataset.from_list(rows).cast_column("label", ClassLabel(names=names))


@pytest.fixture(scope="session")
def corpus() -> Dataset:
    return make_corpus()
