import numpy as np
import pytest

from mm_emotion.errors import FeatureError
from mm_emotion.features.sources import media_files, motion, picture, sound, words


def test_words_are_the_text_or_else_the_transcript():
    assert words({"text": "a", "transcript": "b"}) == "a"
    assert words({"transcript": "b"}) == "b"
    assert words({"text": [0.1], "transcript": "b"}) == "b"
    assert words({}) is None


def test_sound_is_given_recorded_or_that_of_the_video(tmp_path, clip, make):
    wav = make["noise"](tmp_path / "a.wav", 0, seconds=1.0)
    whole, rate = sound({"audio": str(wav)})
    assert (rate, len(whole)) == (16000, 16000)
    np.testing.assert_array_equal(sound({"audio": (whole, rate)})[0], whole)
    np.testing.assert_array_equal(sound({"audio": str(wav), "start": 0.25, "end": 0.5})[0], whole[4000:8000])
    np.testing.assert_array_equal(sound({"audio_path": str(wav), "audio": [0.5, 0.25]})[0], whole)
    for key in ("video", "video_path"):
        track, rate = sound({key: str(clip), "audio_path": "", "start": 0.5, "end": 1.0})
        assert (rate, len(track)) == (8000, 4000)
    silent = make["video"](tmp_path / "silent.avi", audio_rate=None)
    assert sound({"video": str(silent)}) is None
    assert sound({"audio_path": "", "video_path": None}) is None


def test_an_utterance_s_own_recording_is_taken_whole(tmp_path, clip, make):
    wav = make["noise"](tmp_path / "own.wav", 0, seconds=1.0)
    row = {"audio_path": str(wav), "video_path": str(clip), "start": 60.0, "end": 61.6}
    assert len(sound(row)[0]) == 16000
    assert picture(row) == (str(clip), 0.0, None)
    assert picture({**row, "start": 0.5, "end": 1.0}) == (str(clip), 0.5, 1.0)
    assert picture({**row, "video": str(clip)}) == (str(clip), 60.0, 61.6)
    assert picture({"video_path": ""}) is None


def test_motion_is_given_or_found_beside_the_sound(tmp_path, make):
    files = make["markers"](tmp_path / "sentences", "Ses01F_impro01_F000", 10.0, 12.0)
    wav = tmp_path / "sentences" / "wav" / "Ses01F_impro01" / "Ses01F_impro01_F000.wav"
    row = {"audio_path": str(wav), "start": 10.0, "end": 12.0}
    kinds = ("hand", "head", "rotated")
    assert motion(row, kinds) == ({kind: files[kind] for kind in kinds}, 10.0, 12.0)
    assert sorted(media_files(row, "mocap")) == sorted(map(str, files.values()))
    given = {"mocap": {kind: str(files[kind]) for kind in kinds}}
    assert motion(given, kinds) == (given["mocap"], 0.0, np.inf)
    files["head"].unlink()
    assert motion(row, kinds) is None
    assert motion(row, ("rotated",))[0] == {"rotated": files["rotated"]}
    assert media_files(row, "mocap") == [str(files["rotated"])]
    for absent in ({}, {"audio_path": ""}, {"audio_path": "elsewhere/a.wav", "mocap": [[0.1]]}):
        assert motion(absent, kinds) is None
        assert media_files(absent, "mocap") == []


def test_the_files_of_a_row_are_named():
    row = {"audio_path": "a.wav", "video_path": "v.mp4"}
    assert media_files(row, "audio") == ["a.wav", "v.mp4"]
    assert media_files(row, "visual") == ["v.mp4"]
    assert media_files({"audio_path": "", "video_path": None}, "audio") == []


@pytest.mark.parametrize(
    ("call", "row", "message"),
    [
        (words, {"text": 3}, "a string or None"),
        (sound, {"audio": 3.0}, "a path"),
        (picture, {"video": 3}, "a path or None"),
        (lambda row: motion(row, ("head",)), {"mocap": "folder"}, "a mapping"),
        (lambda row: motion(row, ("head", "hand")), {"mocap": {"head": "h.txt"}}, "none for hand"),
    ],
)
def test_other_things_are_refused(call, row, message):
    with pytest.raises(FeatureError, match=message):
        call(row)
