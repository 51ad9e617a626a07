import numpy as np
import pytest
import soundfile

from mm_emotion.errors import FeatureError
from mm_emotion.features.sound import audio_seconds, read_audio, resample


def test_reading_cuts_and_averages_channels(tmp_path):
    path = tmp_path / "two.wav"
    left = np.arange(8000, dtype=np.float32) / 16000
    soundfile.write(path, np.stack([left, np.zeros_like(left)], axis=1), 8000, subtype="FLOAT")
    waveform, rate = read_audio(path)
    assert (rate, waveform.dtype, waveform.shape) == (8000, np.float32, (8000,))
    np.testing.assert_allclose(waveform, left / 2)
    np.testing.assert_allclose(read_audio(path, 0.25, 0.5)[0], left[2000:4000] / 2)
    np.testing.assert_allclose(read_audio(path, 0.75, 9.0)[0], left[6000:] / 2)
    assert audio_seconds(path) == 1.0


@pytest.mark.parametrize(("channel", "level"), [("mean", 0.3), ("left", 0.2), ("right", 0.4)])
def test_one_channel_is_heard_when_asked(tmp_path, channel, level):
    soundfile.write(tmp_path / "two.wav", np.full((50, 2), (0.2, 0.4)), 8000, subtype="FLOAT")
    soundfile.write(tmp_path / "one.wav", np.full(50, 0.5), 8000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "two.wav", channel=channel)[0], level, rtol=1e-6)
    np.testing.assert_allclose(read_audio(tmp_path / "one.wav", channel=channel)[0], 0.5)


def test_a_channel_of_a_video_is_heard_when_asked(clip):
    whole, left, right = (read_audio(clip, channel=channel)[0] for channel in ("mean", "left", "right"))
    assert not left.any()
    np.testing.assert_allclose(right, 2 * whole, atol=1e-6)
    assert right.max() > 0.7


def test_a_long_file_is_read_in_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("mm_emotion.features.sound._BLOCK", 100)
    soundfile.write(tmp_path / "long.wav", np.arange(1050) / 2000, 1000, subtype="FLOAT")
    np.testing.assert_allclose(read_audio(tmp_path / "long.wav", 0.005)[0], np.arange(5, 1050) / 2000, rtol=1e-6)


@pytest.mark.parametrize(
    ("subtype", "step"), [("PCM_U8", 2**-7), ("PCM_16", 2**-15), ("PCM_24", 2**-23), ("PCM_32", 1e-7), ("DOUBLE", 1e-7)]
)
def test_every_sample_format_has_full_scale_one(tmp_path, subtype, step):
    wanted = 0.9 * np.sin(np.arange(400) / 7)
    soundfile.write(tmp_path / "sound.wav", wanted, 8000, subtype=subtype)
    np.testing.assert_allclose(read_audio(tmp_path / "sound.wav")[0], wanted, atol=1.01 * step)


@pytest.mark.parametrize(("start", "end"), [(1.5, None), (1.0, 2.0), (-0.1, None), (0.5, 0.5), (float("nan"), None)])
def test_empty_stretches_are_refused(tmp_path, start, end):
    path = tmp_path / "one.wav"
    soundfile.write(path, np.zeros(8000), 8000)
    with pytest.raises(FeatureError, match=r"one\.wav"):
        read_audio(path, start, end)


def test_missing_empty_unreadable_and_non_finite_files_are_refused(tmp_path):
    (tmp_path / "text.wav").write_text("not a sound")
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 8000, subtype="FLOAT")
    for name, message in (
        ("absent.wav", "no such file"),
        ("text.wav", "readable audio file"),
        ("empty.wav", "0 frames"),
        ("nan.wav", "NaN"),
        ("", "no such file"),
    ):
        with pytest.raises(FeatureError, match=message) as caught:
            read_audio(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_a_video_file_gives_its_sound(clip):
    waveform, rate = read_audio(clip, 0.5, 1.0)
    assert (rate, len(waveform)) == (8000, 4000)
    assert audio_seconds(clip) == pytest.approx(2.0, abs=0.2)


def test_resampling_keeps_a_tone_and_its_time():
    times = np.arange(4410) / 44100
    tone, rate = resample(np.sin(2 * np.pi * 200 * times), 44100, 16000)
    assert (rate, len(tone)) == (16000, 1600)
    inner = slice(100, -100)
    np.testing.assert_allclose(tone[inner], np.sin(2 * np.pi * 200 * np.arange(1600) / 16000)[inner], atol=1e-3)
    same = np.zeros(5)
    assert resample(same, 8000, None)[0] is same
    with pytest.raises(FeatureError, match="sampling_rate"):
        resample(same, 8000.5, 16000)
