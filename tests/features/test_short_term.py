import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from mm_emotion.errors import FeatureError
from mm_emotion.features.short_term import SHORT_TERM_NAMES, ShortTerm, short_term_features


def literal(signal: np.ndarray, rate: int, width: int, step: int) -> np.ndarray:
    """The first eight values, window by window, from their definitions."""
    signal = signal - signal.mean()
    signal = signal / (np.abs(signal).max() + 1e-10)
    rows, before = [], None
    for first in range(0, len(signal) - width + 1, step):
        x = signal[first : first + width]
        spectrum = np.array(
            [abs(np.sum(x * np.exp(-2j * np.pi * k * np.arange(width) / width))) for k in range(width // 2)]
        )
        places = np.arange(1, len(spectrum) + 1) / len(spectrum)
        centroid = (spectrum * places).sum() / spectrum.sum()
        spread = np.sqrt((spectrum * (places - centroid) ** 2).sum() / spectrum.sum())
        share = spectrum / spectrum.sum()
        flux = 0.0 if before is None else ((share - before) ** 2).sum()
        before = share
        power = spectrum**2
        rolloff = next(k for k in range(len(power)) if power[: k + 1].sum() > 0.9 * power.sum()) / len(power)
        crossings = sum(1 for a, b in pairwise(x) if a * b < 0) / (width - 1)
        rows.append([crossings, (x**2).mean(), entropy(x**2), centroid, spread, entropy(power), flux, rolloff])
    return np.array(rows)


def entropy(power: np.ndarray) -> float:
    length = len(power) // 10
    shares = [power[k * length : (k + 1) * length].sum() / power.sum() for k in range(10)]
    return -sum(share * np.log2(share) for share in shares)


def test_the_first_eight_values_are_their_definitions():
    signal = np.random.default_rng(0).standard_normal(700) + np.sin(np.arange(700) / 3)
    found = short_term_features(signal, 1000, 0.2, 0.13)
    wanted = literal(signal, 1000, 200, 130)
    assert found.shape == (4, 34)
    np.testing.assert_allclose(found[:, :8], wanted, rtol=1e-5, atol=1e-7)


def test_a_tone_is_heard_as_its_note_and_place():
    rate = 16000
    names = list(SHORT_TERM_NAMES)
    values = short_term_features(np.sin(2 * np.pi * 440 * np.arange(rate) / rate), rate)
    assert len(set(names)) == 34
    assert values[:, names.index("centroid")] == pytest.approx(440 / 8000, abs=0.01)
    assert values[:, names.index("zero_crossings")] == pytest.approx(2 * 440 / rate, rel=0.01)
    for hertz in (445, 900):  # the last bins of two notes A, an octave apart: each bin counts as the next one
        tone = np.sin(2 * np.pi * hertz * np.arange(rate) / rate)
        assert short_term_features(tone, rate)[0, names.index("chroma_1") :].argmax() == 0


def test_level_and_a_constant_part_change_nothing():
    signal = np.random.default_rng(0).standard_normal(8000)
    wanted = short_term_features(signal, 16000)
    np.testing.assert_allclose(short_term_features(0.01 * signal + 5, 16000), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rate", [500, 4000, 8000, 11025, 22050, 44100, 48000])
@pytest.mark.parametrize("window", [0.05, 0.2, 2.0])
def test_any_rate_and_window_of_any_signal_gives_finite_values(rate, window):
    noise = np.random.default_rng(0).standard_normal(rate)
    for signal in (np.zeros(rate), np.ones(rate), noise, 1e-7 * noise, np.eye(1, rate)[0], noise[:1], noise[:7]):
        values = short_term_features(signal, rate, window, window / 2)
        assert values.dtype == np.float32
        assert np.isfinite(values).all()
        assert len(values) == max(0, (len(signal) - int(window * rate)) // int(window / 2 * rate)) + 1


def test_a_long_recording_is_the_same_in_blocks(monkeypatch):
    signal = np.random.default_rng(0).standard_normal(16000)
    whole = short_term_features(signal, 8000)
    monkeypatch.setattr("mm_emotion.features.short_term._BLOCK", 3)
    np.testing.assert_array_equal(short_term_features(signal, 8000), whole)


def test_the_feature_resamples_and_drops_the_ends():
    signal = np.random.default_rng(0).standard_normal(16000)
    np.testing.assert_array_equal(ShortTerm()(signal, 16000), short_term_features(signal, 16000))
    assert ShortTerm()(signal, 8000).shape == (19, 34)
    np.testing.assert_array_equal(ShortTerm(sampling_rate=None)(signal, 8000), short_term_features(signal, 8000))
    ends = ShortTerm(drop_ends=True)
    np.testing.assert_array_equal(ends(signal, 16000), short_term_features(signal, 16000)[1:-1])
    assert len(ends(signal[:4900], 16000)) == 2  # two windows are both kept


@pytest.mark.parametrize(
    ("waveform", "rate", "options", "message"),
    [
        (np.zeros(0), 16000, {}, "at least one sample"),
        (np.zeros((2, 100)), 16000, {}, "one axis"),
        (np.array([0.0, np.nan]), 16000, {}, "finite"),
        (np.zeros(100), 0, {}, "sampling_rate"),
        (np.zeros(100), 16000, {"window": 0.001}, "window"),
        (np.zeros(100), 16000, {"hop": 0.0}, "hop"),
        (np.zeros(100), 16000, {"hop": float("nan")}, "hop"),
    ],
)
def test_bad_signals_and_options_are_refused(waveform, rate, options, message):
    with pytest.raises(FeatureError, match=message):
        short_term_features(waveform, rate, **options)


def test_it_is_fast():
    signal = np.random.default_rng(0).standard_normal(16000 * 20)
    short_term_features(signal, 16000)
    start = time.process_time()
    short_term_features(signal, 16000)
    assert time.process_time() - start < 20 * 0.006  # several times the 1 ms per second it takes


@pytest.mark.slow
@pytest.mark.corpus
def test_real_speech_gives_the_values_of_pyaudioanalysis():
    if "MM_EMOTION_DATA" not in os.environ:
        pytest.skip("MM_EMOTION_DATA is not set")
    reference = pytest.importorskip(
        "pyAudioAnalysis.ShortTermFeatures", reason="pyAudioAnalysis is not installed", exc_type=ImportError
    )
    root = Path(os.environ["MM_EMOTION_DATA"])
    paths = [
        *sorted((root / "speech_emodb").rglob("*.wav"))[:20],
        *sorted((root / "speech_ravdess").rglob("*.wav"))[:20],
    ]
    paths += sorted((root / "raw" / "ravdess_wav48k").rglob("*.wav"))
    for path in paths:
        samples, rate = soundfile.read(path, dtype="int16")
        width, step = int(0.2 * rate), int(0.1 * rate)
        wanted = reference.feature_extraction(samples, rate, width, step, deltas=False)[0].T
        np.testing.assert_allclose(short_term_features(samples / 2**15, rate), wanted, rtol=1e-6, atol=1e-7)
