import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from mm_emotion.errors import FeatureError
from mm_emotion.features.video_clips import VideoClips


def levels(clip: np.ndarray) -> np.ndarray:
    """The number of the generated frame behind each frame of a clip."""
    return (clip.mean(axis=(0, 2, 3)) * 255 - 20) / 10


def test_a_clip_has_the_contract_s_shape_and_range(clip):
    made = VideoClips(frames=5, height=12, width=16)(clip)
    assert (made.shape, made.dtype) == ((3, 5, 12, 16), np.float32)
    assert made.min() >= 0
    assert made.max() <= 1
    assert VideoClips(frames=5, height=12, width=16, colour="grey")(clip).shape == (1, 5, 12, 16)
    assert VideoClips(frames=5, height=12, width=16).shape == made.shape


@pytest.mark.parametrize("seek", [5.0, 0.05])
@pytest.mark.parametrize(("start", "end"), [(0.0, None), (0.5, 1.5), (1.3, 1.4), (1.0, 99.0)])
def test_frames_are_those_shown_in_the_middle_of_equal_parts(clip, monkeypatch, seek, start, end):
    """By decoding on as well as by the index."""
    monkeypatch.setattr("mm_emotion.features.video_clips._SEEK", seek)
    made = VideoClips(frames=4, height=24, width=32, colour="grey")(clip, start, end)
    last = 2.0 if end is None else min(end, 2.0)
    times = start + (np.arange(4) + 0.5) / 4 * (last - start)
    np.testing.assert_allclose(levels(made), np.floor(times * 10 + 1e-6), atol=0.2)


@pytest.fixture(scope="module")
def halves(tmp_path_factory) -> Path:
    """One frame, 40 by 20 pixels: the left half red, the right half blue, the lower quarter black."""
    path = tmp_path_factory.mktemp("halves") / "halves.avi"
    image = np.zeros((20, 40, 3), dtype=np.uint8)
    image[:15, :20, 0] = image[:15, 20:, 2] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=1)
        stream.width, stream.height, stream.pix_fmt = 40, 20, "bgr24"
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("crop", "colours"),
    [
        ("none", [(1, 0, 0), (0, 0, 1)]),
        ("centre", [(1, 0, 0), (0, 0, 1)]),
        ([0.0, 0.0, 0.5, 0.75], [(1, 0, 0), (1, 0, 0)]),
        ([0.5, 0.0, 1.0, 0.75], [(0, 0, 1), (0, 0, 1)]),
        ([0.0, 0.75, 1.0, 1.0], [(0, 0, 0), (0, 0, 0)]),
    ],
)
def test_the_crop_is_what_is_kept(halves, crop, colours):
    made = VideoClips(frames=1, height=10, width=10, crop=crop)(halves)[:, 0]  # (C, Y, X)
    for column, colour in zip((1, -2), colours, strict=True):
        np.testing.assert_allclose(made[:, 3, column], colour, atol=0.05)
    if crop == "none":
        assert made[:, -1].max() < 0.05  # the black quarter is there, squeezed


def test_the_centre_has_the_shape_of_the_result(halves):
    made = VideoClips(frames=1, height=20, width=8, crop="centre")(halves)[:, 0]
    assert made[0, 0].tolist() == pytest.approx([1] * 4 + [0] * 4, abs=0.01)  # nothing squeezed


def test_audio_only_frameless_and_cut_files_are_refused(clip, tmp_path, make):
    sound = make["video"](tmp_path / "sound.wav", rate=None)
    with pytest.raises(FeatureError, match=r"sound\.wav.*one video stream"):
        VideoClips()(sound)
    whole = make["video"](tmp_path / "whole.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) // 3])
    with pytest.raises(FeatureError, match=r"cut\.mkv.*cut short"):
        VideoClips(frames=4)(tmp_path / "cut.mkv")
    whole = clip.read_bytes()
    (tmp_path / "head.avi").write_bytes(whole[: whole.index(b"movi") + 4])
    with pytest.raises(FeatureError, match=r"head\.avi"):
        VideoClips(frames=4)(tmp_path / "head.avi")


def test_a_file_without_its_index_is_still_read(clip, tmp_path):
    whole = clip.read_bytes()
    (tmp_path / "bare.avi").write_bytes(whole[: whole.index(b"idx1")])
    for start, end in ((0.0, None), (1.4, 1.8)):
        bare = VideoClips(frames=3, colour="grey")(tmp_path / "bare.avi", start, end)
        np.testing.assert_array_equal(bare, VideoClips(frames=3, colour="grey")(clip, start, end))


@pytest.mark.parametrize(("start", "end"), [(2.5, None), (-1.0, 1.0), (1.0, 0.5)])
def test_empty_stretches_are_refused(clip, start, end):
    with pytest.raises(FeatureError, match=r"clip\.avi"):
        VideoClips()(clip, start, end)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"frames": 0}, "frames"),
        ({"width": 2.5}, "width"),
        ({"colour": "blue"}, "colour"),
        ({"crop": "left"}, "crop"),
        ({"crop": [0, 0, 1]}, "crop"),
        ({"crop": [0.5, 0, 0.5, 1]}, "crop"),
        ({"crop": [0, 0, 1.5, 1]}, "crop"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(FeatureError, match=message):
        VideoClips(**options)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is read from Linux's /proc")
def test_an_hour_of_video_takes_constant_memory(tmp_path, make):
    path = make["video"](tmp_path / "hour.avi", seconds=3600, rate=5, size=(320, 240), audio_rate=8000, keyframes=50)
    script = """if True:
        import pathlib, sys
        from mm_emotion.features.media import read_audio_track
        from mm_emotion.features.video_clips import VideoClips

        def mebibytes(name):
            status = pathlib.Path("/proc/self/status").read_text()
            return int(status.split(name)[1].split()[0]) / 1024

        VideoClips(frames=2)(sys.argv[1], 0, 1)
        before = mebibytes("VmRSS:")
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        whole = VideoClips(frames=16)(sys.argv[1])
        part = VideoClips(frames=200, height=24, width=32)(sys.argv[1], 3000, 3600)
        sound, rate = read_audio_track(sys.argv[1], 1800, 1830)
        assert len(sound) == 30 * rate
        print(before, mebibytes("VmHWM:"))
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    run = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False, env=environment
    )
    assert run.returncode == 0, run.stderr
    before, peak = map(float, run.stdout.split())
    print(f"{before:.0f} MiB before, at most {peak:.0f} MiB while reading")
    assert peak - before < 60
