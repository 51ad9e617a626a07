"""What a user hands over becomes utterances, or one line says what is wrong with it."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from mm_emotion.errors import FeatureError
from mm_emotion.hub import tiny_checkpoint
from mm_emotion.pipeline import MultimodalEmotionPipeline, load_system, read_turns
from mm_emotion.pipeline.turns import conversations

RATE = 8000


def sound(path, *seconds):
    """A wav of noise and silence in turn."""
    noise, levels = np.random.default_rng(1), (0.1, 1e-5)
    parts = [levels[index % 2] * noise.standard_normal(round(part * RATE)) for index, part in enumerate(seconds)]
    soundfile.write(path, np.concatenate(parts), RATE)
    return path


def test_a_string_is_a_transcript_or_a_file(tmp_path):
    assert read_turns("what a day") == [{"text": "what a day"}]
    path = sound(tmp_path / "short.wav", 2)
    assert read_turns(str(path)) == read_turns(path) == [{"audio": str(path), "start": 0.0, "end": 2.0}]


def test_a_long_recording_is_cut_and_one_with_words_is_not(tmp_path):
    path = sound(tmp_path / "long.wav", 8, 2, 8)
    turns = read_turns({"audio": path, "speaker": "A"})
    assert [turn["speaker"] for turn in turns] == ["A", "A"]
    assert np.allclose([(turn["start"], turn["end"]) for turn in turns], [(0, 8), (10, 18)], atol=0.2)
    assert len(read_turns(path, longest=20)) == 1
    assert len(read_turns(path, longest=4)) >= 4
    assert read_turns({"audio": path, "text": "so long"}) == [{"audio": str(path), "text": "so long"}]
    assert read_turns([{"audio": path}, {"audio": path}]) == [{"audio": str(path)}] * 2


def test_a_csv_gives_turns_with_paths_beside_it(tmp_path):
    table = tmp_path / "turns.csv"
    rows = ("speaker,text,audio,start,end,mood", "A,hello,a.wav,1,2.5,good", 'B,"yes, so",,,,')
    table.write_text("\ufeff" + "\n".join(rows), encoding="utf-8")
    assert read_turns(table) == [
        {"speaker": "A", "text": "hello", "audio": str(tmp_path / "a.wav"), "start": 1.0, "end": 2.5},
        {"speaker": "B", "text": "yes, so"},
    ]


def test_a_header_is_read_whatever_its_case_and_a_tsv_by_its_tabs(tmp_path):
    (tmp_path / "turns.csv").write_text("Speaker, Text\nA,hello\n", encoding="utf-8")
    (tmp_path / "turns.tsv").write_text("speaker\ttext\nA\thello\n", encoding="utf-8")
    for name in ("turns.csv", "turns.tsv"):
        assert read_turns(tmp_path / name) == [{"speaker": "A", "text": "hello"}]


def test_conversations_are_told_apart_by_their_ids():
    assert conversations([{}, {"dialogue_id": None}]) == [[0, 1]]
    assert conversations([{"dialogue_id": name} for name in "abac"]) == [[0, 2], [1], [3]]
    with pytest.raises(FeatureError, match=r"dialogue_id.*got none for turn 2"):
        conversations([{"dialogue_id": "a"}, {}])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "header with any of text.*an empty file"),
        ("mood\ngood\n", "header with any of text.*got mood"),
        ("text\n", "at least one row"),
        ("text,start\nhello,soon\n", "start in line 2.*expected seconds, got 'soon'"),
        ("text,start\nhello,nan\n", "start in line 2"),
        ("text;speaker\nhello;A\n", "the separator seems to be a semicolon"),
        ("text,speaker,text\nhello,A,no\n", "header of .*one column text or transcript, got text and text"),
        ("audio,audio_path\na.wav,a.wav\n", "one column audio or audio_path, got audio and audio_path"),
        ("text,start,start\nhello,1,2\n", "one column start, got start and start"),
        ("text,speaker\nhello,A\nno,\n", "speaker in utterance 2 of .*expected a value.*got none"),
        ("text,dialogue_id\nhello,\nno,d\n", "dialogue_id in utterance 1"),
        ("text,speaker\nhello\n", "line 2.*fewer"),
        ("text,speaker\nhello,A,B\n", "line 2.*more"),
        ("text,speaker\n,A\n", "line 2.*a value for any of text"),
        ('text\n"open\n', "comma-separated UTF-8"),
        (b"text\n\xff\xfe\n", "comma-separated UTF-8.*save as CSV UTF-8"),
    ],
)
def test_a_bad_csv_is_one_line_with_its_place(tmp_path, content, message):
    path = tmp_path / "turns.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FeatureError, match=message) as caught:
        read_turns(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere.wav", "nowhere.wav.*no such file"),
        ("nowhere.csv", "nowhere.csv.*no such file"),
        (Path("picture.png"), "picture.png"),
        ([], "an empty list"),
        ("  ", "a transcript with at least one word"),
        (3, "a transcript, a media or csv file"),
        ([3], "utterance: expected a mapping, got int"),
        ({"txt": "hello"}, "'txt'.*did you mean 'text'"),
        ({"speaker": "A"}, "any of text, transcript"),
        ({}, "any of text, transcript.*nothing"),
    ],
)
def test_what_is_no_input_is_refused(source, message):
    with pytest.raises(FeatureError, match=message):
        read_turns(source)


def test_a_length_to_cut_at_is_a_number(tmp_path):
    path = sound(tmp_path / "long.wav", 8, 2, 8)
    for field in ("longest", "pause", "shortest"):
        with pytest.raises(FeatureError, match=f"{field}: expected seconds above 0, got 'a'"):
            read_turns(path, **{field: "a"})


def test_a_silent_recording_and_a_wrong_file_are_refused(tmp_path):
    with pytest.raises(FeatureError, match=r"a recording with speech, got 20\.0 s of silence"):
        read_turns(sound(tmp_path / "silent.wav", 0, 20))
    (tmp_path / "picture.png").write_bytes(b"")
    with pytest.raises(FeatureError, match=r"a file that ends in one of .*got '.png'"):
        read_turns(tmp_path / "picture.png")


def test_who_only_looks_gets_even_stretches_of_a_long_clip(tmp_path):
    av = pytest.importorskip("av", reason="PyAV is not installed: no clips to read")
    path = tmp_path / "seen.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=2)
        stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
        for _ in range(80):
            frame = av.VideoFrame.from_ndarray(np.full((24, 32), 90, dtype=np.uint8), format="gray")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    turns = read_turns(path, longest=15, by_voice=False)
    assert [(round(turn["start"], 1), round(turn["end"], 1)) for turn in turns] == [(0, 13.3), (13.3, 26.7), (26.7, 40)]
    assert "start" not in read_turns(path, longest=15)[0]  # whole: nothing is heard that could cut it
    model, processor = load_system(tiny_checkpoint("video_cnn3d", tmp_path / "tiny"))
    assert len(MultimodalEmotionPipeline(model, processor=processor, progress_bar=False)(path)) == 3
