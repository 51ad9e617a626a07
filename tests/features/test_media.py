import sys

import numpy as np
import pytest

from mm_emotion.errors import FeatureError, MissingExtraError
from mm_emotion.features.media import audio_track_seconds, has_track, read_audio_track, video_seconds


def ramp(first: int, last: int, count: int = 16000) -> np.ndarray:
    """The mean of the two channels of the generated track."""
    return 0.4 * np.arange(first, last) / count


def test_the_track_is_the_mean_of_its_channels(clip):
    waveform, rate = read_audio_track(clip)
    assert (rate, waveform.dtype, waveform.shape) == (8000, np.float32, (16000,))
    np.testing.assert_allclose(waveform, ramp(0, 16000), atol=2**-14)


@pytest.mark.parametrize(("start", "end"), [(0.0, 0.3), (0.25, 0.5), (1.37, 1.9), (1.9, 50.0)])
def test_a_stretch_is_the_same_stretch_of_the_whole(clip, start, end):
    waveform, rate = read_audio_track(clip, start, end)
    first, last = round(start * rate), min(16000, round(end * rate))
    np.testing.assert_allclose(waveform, ramp(first, last), atol=2**-14)


def test_another_rate_keeps_time_and_level(clip):
    waveform, rate = read_audio_track(clip, 0.5, 1.5, sampling_rate=16000)
    assert (rate, len(waveform)) == (16000, 16000)
    np.testing.assert_allclose(waveform, ramp(8000, 24000, 32000), atol=1e-3)


def test_lengths_and_tracks(clip, tmp_path, make):
    assert audio_track_seconds(clip) == pytest.approx(2.0, abs=0.01)
    assert video_seconds(clip) == pytest.approx(2.0, abs=0.01)
    silent = make["video"](tmp_path / "silent.avi", audio_rate=None)
    assert (has_track(silent, "audio"), has_track(silent, "video")) == (False, True)
    with pytest.raises(FeatureError, match=r"silent\.avi.*one audio stream"):
        read_audio_track(silent)


def test_a_file_that_does_not_say_its_length_is_counted(tmp_path, make):
    path = make["video"](tmp_path / "stream.mpg", codec="mpeg1video", rate=25, audio_rate=None)
    assert video_seconds(path) == pytest.approx(2.0, abs=0.05)


def test_a_bare_stream_without_times_is_refused(tmp_path, make):
    path = make["video"](tmp_path / "bare.h264", codec="libx264", rate=25, audio_rate=None)
    with pytest.raises(FeatureError, match=r"bare\.h264.*time stamps"):
        video_seconds(path)


@pytest.mark.parametrize(("start", "end"), [(2.5, None), (2.0, 3.0), (-1.0, None), (0.5, 0.5), (float("nan"), None)])
def test_empty_stretches_are_refused(clip, start, end):
    with pytest.raises(FeatureError, match=r"clip\.avi"):
        read_audio_track(clip, start, end)


def test_missing_unreadable_and_cut_files_are_refused(tmp_path, make):
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "empty.mp4").touch()
    whole = make["video"](tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 3])
    for name, message in (
        ("absent.mp4", "no such file"),
        ("text.mp4", "readable media file"),
        ("empty.mp4", "readable media file"),
        ("cut.mkv", "cut short"),
    ):
        with pytest.raises(FeatureError, match=message) as caught:
            read_audio_track(tmp_path / name)
        assert name in str(caught.value)


def test_a_header_that_lies_about_the_length_is_refused(clip, monkeypatch):
    monkeypatch.setattr("mm_emotion.features.media.track_seconds", lambda container, stream: 1e13)
    with pytest.raises(FeatureError, match="fits into memory"):
        read_audio_track(clip)


def test_titles_in_another_encoding_do_no_harm(tmp_path, make):
    path = make["video"](tmp_path / "clip.mp4", audio_rate=None)
    whole = path.read_bytes()
    assert b"VideoHandler" in whole
    path.write_bytes(whole.replace(b"VideoHandler", b"V\xefdeoHandler"))
    assert video_seconds(path) == pytest.approx(2.0)


def test_without_pyav_the_extra_is_named(clip, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingExtraError, match=r"mm_emotion\[video\]"):
        read_audio_track(clip)
