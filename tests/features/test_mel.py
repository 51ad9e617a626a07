import numpy as np
import pytest

from mm_emotion.errors import FeatureError
from mm_emotion.features.mel import Mel, log_mel, mel_of
from mm_emotion.features.short_term import short_term_features

RATE = 16000


def tone(frequency: float, seconds: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(int(seconds * RATE)) / RATE)


def test_a_tone_is_loudest_in_the_band_of_its_pitch():
    bands = 40
    peaks = np.linspace(0, mel_of(8000), bands + 2)[1:-1]
    for frequency in (150.0, 400.0, 1000.0, 3000.0, 7000.0):
        values = log_mel(tone(frequency), RATE, bands=bands)
        assert (values.argmax(axis=1) == np.abs(peaks - mel_of(frequency)).argmin()).all()
        assert values.max() - np.median(values) > 30


def test_the_bands_share_out_the_mean_square():
    noise = 0.1 * np.random.default_rng(0).standard_normal(4 * RATE)
    for options in ({}, {"window": 0.2, "hop": 0.1, "bands": 128}, {"bands": 3}):
        energy = (10 ** (log_mel(noise, RATE, lowest=1, **options) / 10)).sum(axis=1).mean()
        missing = 1 - energy / 0.01
        bands = options.get("bands", 64)
        # What white noise has above the last peak goes half into the last band; the first band is narrow.
        last = 700 * (10 ** (np.linspace(mel_of(1), mel_of(8000), bands + 2)[-2] / 2595) - 1)
        assert missing == pytest.approx((8000 - last) / 2 / 8000, abs=0.02 + 0.05 * (bands == 3))


def test_ten_times_the_level_is_twenty_decibels_and_silence_the_floor():
    signal = np.random.default_rng(0).standard_normal(3000) * 0.01
    np.testing.assert_allclose(log_mel(10 * signal, RATE), log_mel(signal, RATE) + 20, atol=1e-4)
    assert (log_mel(np.zeros(100), RATE) == -100).all()


def test_every_band_hears_something_however_short_the_window():
    values = log_mel(np.random.default_rng(0).standard_normal(RATE), RATE, window=0.005, hop=0.005, bands=128)
    assert values.shape == (200, 128)
    assert values.min() > -90


def test_a_long_recording_is_the_same_in_blocks(monkeypatch):
    signal = np.random.default_rng(0).standard_normal(RATE // 2)
    whole = log_mel(signal, RATE)
    monkeypatch.setattr("mm_emotion.features.mel._BLOCK", 7)
    np.testing.assert_allclose(log_mel(signal, RATE), whole, atol=1e-4)


def test_both_kinds_of_steps_stand_side_by_side():
    signal = np.random.default_rng(0).standard_normal(RATE)
    made = Mel(window=0.08, hop=0.05, bands=128, with_short_term=True)(signal, RATE)
    assert made.shape == (19, 162)
    np.testing.assert_array_equal(made[:, :34], short_term_features(signal, RATE, 0.08, 0.05))
    np.testing.assert_array_equal(made[:, 34:], log_mel(signal, RATE, 0.08, 0.05, 128))
    assert Mel(window=0.08, hop=0.05, drop_ends=True)(signal, RATE).shape == (17, 64)
    assert Mel()(tone(440, 0.25), 8000).shape == (48, 64)  # half a second at 8 kHz


@pytest.mark.parametrize(
    ("waveform", "options", "message"),
    [
        (np.zeros(0), {}, "at least one sample"),
        (np.array([0.0, np.nan]), {}, "finite"),
        (np.zeros(100), {"window": 0.0}, "window"),
        (np.zeros(100), {"hop": float("nan")}, "hop"),
        (np.zeros(100), {"lowest": -1.0}, "lowest"),
        (np.zeros(100), {"highest": 9000.0}, "8000"),
        (np.zeros(100), {"lowest": 500.0, "highest": 400.0}, "lowest"),
    ],
)
def test_bad_signals_and_options_are_refused(waveform, options, message):
    with pytest.raises(FeatureError, match=message):
        log_mel(waveform, RATE, **options)
    with pytest.raises(FeatureError, match="bands"):
        Mel(bands=0)
