"""The waveform as a speech model reads it."""

import numpy as np
import pytest
import soundfile
from transformers import AutoProcessor, Wav2Vec2FeatureExtractor

from mm_emotion.errors import FeatureError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.features.waveform import Waveform

SOUND = 0.3 * np.sin(np.arange(8000) / 7).astype(np.float32) + 0.1


def test_it_is_what_the_feature_extractor_of_wav2vec2_makes():
    made = Waveform()(SOUND, 16000)
    expected = Wav2Vec2FeatureExtractor()(SOUND, sampling_rate=16000)["input_values"][0]
    np.testing.assert_allclose(made[:, 0], expected, atol=1e-5)
    np.testing.assert_array_equal(Waveform(normalize=False)(SOUND, 16000)[:, 0], SOUND)


def test_rate_and_length_are_those_asked_for():
    assert Waveform(sampling_rate=8000)(SOUND, 16000).shape == (4000, 1)
    assert Waveform(max_seconds=0.1)(SOUND, 16000).shape == (1600, 1)


@pytest.mark.parametrize("options", [{"sampling_rate": 0}, {"max_seconds": 0}, {"max_seconds": float("inf")}])
def test_impossible_options_are_refused(options):
    with pytest.raises(FeatureError, match=next(iter(options))):
        Waveform(**options)


def test_a_processor_makes_it_saved_and_loaded_and_keeps_it_in_no_dataset(tmp_path):
    soundfile.write(tmp_path / "sound.wav", SOUND, 16000, subtype="FLOAT")
    row = {"audio_path": str(tmp_path / "sound.wav"), "transcript": "so"}
    processor = EmotionProcessor.fit([row], {"audio": {"feature": "waveform", "max_seconds": 0.2}})
    assert processor.columns == ("audio",)
    assert processor.stored_columns == ()
    processor.save_pretrained(tmp_path / "saved")
    batch = AutoProcessor.from_pretrained(tmp_path / "saved")(
        [{"audio": (SOUND, 16000)}, {"audio": (SOUND[:9], 16000)}]
    )
    assert batch["audio"].shape == (1, 2, 3200, 1)
    assert batch["audio_mask"].sum(2).tolist() == [[3200, 9]]
    np.testing.assert_array_equal(batch["audio"][0, 0].numpy(), processor.utterance(row)["audio"])
