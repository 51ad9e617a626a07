import json
import os
import time
from pathlib import Path

import numpy as np
import pytest

from mm_emotion.errors import FeatureError
from mm_emotion.features.functionals import FUNCTIONAL_NAMES, acoustic_functionals
from mm_emotion.features.sound import read_audio


def named(waveform: np.ndarray, rate: int) -> dict[str, float]:
    return dict(zip(FUNCTIONAL_NAMES, acoustic_functionals(waveform, rate).tolist(), strict=True))


def tone(hertz: float, rate: int = 16000, seconds: float = 1.0, glide: float = 0.0) -> np.ndarray:
    """Harmonic tone whose pitch rises by `glide` semitones."""
    times = np.arange(int(seconds * rate)) / rate
    phase = np.cumsum(hertz * np.exp2(glide * times / seconds / 12)) / rate
    return 0.05 * sum(np.sin(2 * np.pi * k * phase) / k for k in range(1, 9) if 1.3 * hertz * k < rate / 2)


def bursts(count: int, rate: int = 16000, seconds: float = 2.0, share: float = 0.6) -> np.ndarray:
    """`count` equal stretches of tone, each followed by silence."""
    position = np.arange(int(seconds * rate)) * count / seconds / rate % 1
    return tone(150, rate, seconds) * np.where(position < share, np.sin(np.pi * position / share), 0)


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 16000, 44100, 48000])
def test_any_rate_and_length_of_any_signal_gives_finite_values(rate):
    noise = np.random.default_rng(0).standard_normal(rate)
    for signal in (np.zeros(rate), np.ones(rate), noise, 1e-7 * noise, np.eye(1, rate)[0]):
        for length in (1, 2, rate // 20, rate // 20 + 1, rate):
            values = acoustic_functionals(signal[:length], rate)
            assert values.shape == (len(FUNCTIONAL_NAMES),)
            assert values.dtype == np.float32
            assert np.isfinite(values).all(), (length, np.asarray(FUNCTIONAL_NAMES)[~np.isfinite(values)])


def test_names_are_unique():
    assert len(set(FUNCTIONAL_NAMES)) == len(FUNCTIONAL_NAMES)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 48000])
@pytest.mark.parametrize("hertz", [80, 130, 220, 310])
def test_pitch_of_a_harmonic_tone(rate, hertz):
    values = named(tone(hertz, rate), rate)
    assert values["pitch_median"] == pytest.approx(12 * np.log2(hertz / 50), abs=0.1)
    assert values["pitch_deviation"] < 0.1
    assert values["voiced_fraction"] == 1


def test_a_rising_pitch_has_its_slope_and_end():
    rising, falling = named(tone(150, glide=6), 16000), named(tone(150, glide=-6), 16000)
    assert rising["pitch_slope"] == pytest.approx(6, abs=0.3)
    assert falling["pitch_slope"] == pytest.approx(-6, abs=0.3)
    assert rising["pitch_end"] == pytest.approx(2, abs=0.3)
    assert falling["pitch_end"] == pytest.approx(-2, abs=0.3)


def test_noise_and_silence_are_not_voiced():
    assert named(0.1 * np.random.default_rng(0).standard_normal(16000), 16000)["voiced_fraction"] < 0.05
    assert named(np.zeros(16000), 16000)["voiced_fraction"] == 0


def test_a_louder_copy_differs_in_level_alone():
    signal = tone(150) + 1e-3 * np.random.default_rng(0).standard_normal(16000)
    quiet, loud = named(signal, 16000), named(10 * signal, 16000)
    assert loud["energy_mean"] - quiet["energy_mean"] == pytest.approx(20, abs=0.01)
    for name in ("pitch_median", "centroid_mean", "tilt_mean", "cepstrum_1_mean", "energy_deviation"):
        assert loud[name] == pytest.approx(quiet[name], abs=0.01)


def test_a_constant_part_changes_nothing():
    signal = tone(150)
    np.testing.assert_allclose(
        acoustic_functionals(signal + 0.3, 16000), acoustic_functionals(signal, 16000), atol=1e-3
    )


@pytest.mark.parametrize("count", [2, 6, 10])
def test_syllables_are_counted(count):
    assert named(bursts(count), 16000)["syllable_rate"] == pytest.approx(count / 2, abs=0.5)


def test_pauses_are_measured():
    values = named(bursts(4, share=0.5), 16000)  # four times 0.25 s of sound, 0.25 s of silence
    assert values["pause_rate"] == pytest.approx(1.5)  # the last silence is the end, not a pause
    assert values["pause_longest"] == pytest.approx(0.25, abs=0.06)
    assert values["duration"] == pytest.approx(2)


def test_brightness_is_heard():
    noise = np.random.default_rng(0).standard_normal(16000)
    dark = np.convolve(noise, np.ones(8) / 8, mode="same")
    assert named(noise, 16000)["centroid_mean"] > named(dark, 16000)["centroid_mean"] + 0.5
    assert named(noise, 16000)["tilt_mean"] > named(dark, 16000)["tilt_mean"] + 2


def test_it_is_fast():
    signal = np.random.default_rng(0).standard_normal(16000 * 4)
    acoustic_functionals(signal, 16000)
    start = time.process_time()
    acoustic_functionals(signal, 16000)
    assert time.process_time() - start < 4 * 0.030  # three times the 10 ms per second it is meant to stay under


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (np.zeros(0), 16000, "at least one sample"),
        (np.zeros((2, 100)), 16000, "one axis"),
        (np.array([0.0, np.nan]), 16000, "finite"),
        (np.array([0.0, np.inf]), 16000, "finite"),
        (np.zeros(100), 3999, "4000"),
        (np.zeros(100), float("nan"), "4000"),
    ],
)
def test_bad_signals_are_refused(waveform, rate, message):
    with pytest.raises(FeatureError, match=message):
        acoustic_functionals(waveform, rate)


@pytest.mark.corpus
def test_pitch_separates_a_man_from_a_woman():
    if "MM_EMOTION_DATA" not in os.environ:
        pytest.skip("MM_EMOTION_DATA is not set")
    root = Path(os.environ["MM_EMOTION_DATA"], "speech_emodb")
    neutral = [item for item in json.loads((root / "index.json").read_text()) if item["emotion"] == "neutral"]
    pitch = {"03": [], "09": []}  # a man, a woman
    for item in neutral:
        path = next(root.rglob(item["file"]))
        pitch[item["speaker"]].append(named(*read_audio(path))["pitch_median"])
    assert max(pitch["03"]) < min(pitch["09"])
