"""From real files to batches: clips of IEMOCAP and RAVDESS with sound and frames, wavs of RAVDESS and EmoDB."""

import os
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoProcessor

from mm_emotion.features.processor import EmotionProcessor

pytestmark = pytest.mark.corpus


@pytest.fixture(scope="module")
def root() -> Path:
    if "MM_EMOTION_DATA" not in os.environ:
        pytest.skip("MM_EMOTION_DATA is not set")
    return Path(os.environ["MM_EMOTION_DATA"])


def test_clips_go_from_file_to_batch_with_sound_and_frames(root, tmp_path):
    paths = sorted([*(root / "raw" / "iemocap_clips").glob("*.mp4"), *(root / "raw" / "ravdess_video").glob("*.mp4")])
    utterances = [{"video": str(path), "speaker": path.name[:5]} for path in paths]
    features = {"audio": {}, "visual": {"frames": 8, "height": 60, "width": 80}}
    processor = EmotionProcessor.fit(utterances, features)
    batch = processor(utterances)
    assert batch["visual"].shape == (1, len(paths), 3, 8, 60, 80)
    assert batch["audio"].shape == (1, len(paths), 66)
    assert batch["modality_mask"].sum().item() == 2 * len(paths) == 8
    for clip in batch["visual"][0]:
        assert clip.std() > 0.05  # a picture, which moves a little
        assert 0 < (clip[:, 1:] - clip[:, :-1]).abs().mean() < 0.1
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)(utterances[0])
    np.testing.assert_array_equal(again["visual"][0, 0], batch["visual"][0, 0])
    np.testing.assert_array_equal(again["audio"][0, 0], batch["audio"][0, 0])


def test_speech_becomes_finite_sequences_and_vectors(root):
    paths = [
        *sorted((root / "speech_emodb").rglob("*.wav"))[:10],
        *sorted((root / "speech_ravdess").rglob("*.wav"))[:10],
    ]
    paths += sorted((root / "raw" / "ravdess_wav48k").glob("*.wav"))
    rows = [{"audio_path": str(path)} for path in paths]
    for options, axes in (({"feature": "short_term"}, 2), ({"feature": "functionals"}, 1)):
        processor = EmotionProcessor.fit(rows, {"audio": options})
        made = [processor.utterance(row)["audio"] for row in rows]
        assert all(np.isfinite(array).all() and array.ndim == axes for array in made)
        assert np.concatenate([np.atleast_2d(array) for array in made]).std(axis=0).min() > 0.5
