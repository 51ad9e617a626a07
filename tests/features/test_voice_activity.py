"""Speech is found where it is, in pieces of at most the length asked for, and silence is not speech."""

import numpy as np
import pytest
import soundfile

from mm_emotion.errors import FeatureError
from mm_emotion.features.voice_activity import speech_stretches

RATE = 8000


def tone(seconds, level=0.3):
    times = np.arange(round(seconds * RATE)) / RATE
    return level * np.sin(2 * np.pi * 200 * times) * (1 + 0.3 * np.sin(2 * np.pi * 3 * times))


def noise(seconds, level=0.001):
    return level * np.random.default_rng(0).standard_normal(round(seconds * RATE))


@pytest.fixture
def record(tmp_path):
    def write(*parts):
        path = tmp_path / "recording.wav"
        soundfile.write(path, np.concatenate(parts), RATE)
        return path

    return write


def test_two_utterances_between_pauses_are_found(record):
    path = record(noise(1), tone(2), noise(1.5), tone(3), noise(1))
    found = speech_stretches(path)
    assert np.allclose(found, [(1, 3), (4.5, 7.5)], atol=0.15)


def test_a_short_gap_and_a_click_are_no_boundary_and_no_speech(record):
    path = record(noise(1), tone(1), noise(0.3), tone(1), noise(1), tone(0.1), noise(1))
    assert np.allclose(speech_stretches(path), [(1, 3.3)], atol=0.15)
    assert len(speech_stretches(path, pause=0.2)) == 2
    assert len(speech_stretches(path, shortest=0.05)) == 2


def test_a_long_utterance_is_cut_where_it_is_quietest(record):
    path = record(noise(1), tone(6), tone(0.2, 0.05), tone(6), noise(1))
    found = speech_stretches(path, longest=10)
    assert len(found) == 2
    assert found[0][1] == found[1][0] == pytest.approx(7.1, abs=0.15)
    assert all(end - start <= 3 for start, end in speech_stretches(path, longest=3))


def test_silence_has_no_speech_and_a_recording_without_pauses_is_all_speech(record):
    assert speech_stretches(record(noise(3, 1e-5))) == []
    assert speech_stretches(record(0.2 * np.sign(tone(3)))) == [(0.0, 3.0)]


def test_blocks_of_a_long_recording_join(record, monkeypatch):
    path = record(noise(1), tone(2), noise(1.5), tone(3), noise(1))
    whole = speech_stretches(path)
    monkeypatch.setattr("mm_emotion.features.voice_activity._BLOCK", 0.7)
    assert speech_stretches(path) == whole


@pytest.mark.parametrize("field", ["longest", "pause", "shortest"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_lengths_are_above_zero(record, field, value):
    with pytest.raises(FeatureError, match=f"^{field}: expected seconds above 0"):
        speech_stretches(record(tone(1)), **{field: value})
