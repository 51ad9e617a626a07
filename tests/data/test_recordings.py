"""Acted speech by the names of its files."""

import os
import wave
from collections import Counter
from pathlib import Path

import pytest

from mm_emotion.data.corpus import open_corpus
from mm_emotion.data.recordings import load_recordings
from mm_emotion.data.splits import resolve_split, validate_split
from mm_emotion.errors import CorpusError
from mm_emotion.schema import LABEL_SETS


@pytest.fixture
def folder(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            with wave.open(str(path), "wb") as file:
                file.setparams((1, 2, 16000, 0, "NONE", ""))
                file.writeframes(bytes(2 * 8000))
        return tmp_path

    return make


def test_ravdess_names_say_emotion_sentence_and_actor(folder):
    names = ("Actor_12/03-01-05-01-02-01-12.wav", "Actor_03/03-02-01-01-01-02-03.wav")
    rows = load_recordings(folder(*names), corpus="ravdess", label_set="emotion")
    assert rows["speaker"][:] == ["03", "12"]
    assert [LABEL_SETS["ravdess"]["emotion"][label] for label in rows["label"]] == ["neutral", "angry"]
    assert Path(rows["audio_path"][1]).is_file()
    assert (rows["start"][1], rows["end"][1]) == (0.0, 0.5)


def test_emodb_names_say_speaker_sentence_and_german_letter(folder):
    names = [f"03a01{letter}a.wav" for letter in "WLEAFTN"] + ["16b10Td.wav"]
    rows = open_corpus("emodb", "emotion", folder(*names))
    said = {row["utterance_id"][5]: LABEL_SETS["emodb"]["emotion"][row["label"]] for row in rows}
    german = {"A": "fear", "E": "disgust", "F": "happiness", "L": "boredom", "N": "neutral", "T": "sadness"}
    assert said == {**german, "W": "anger"}
    assert Counter(rows["dialogue_id"]) == {"03_a01": 7, "16_b10": 1}
    assert rows["position"][:7] == list(range(7))


@pytest.mark.parametrize(("corpus", "name"), [("ravdess", "03-01-09-01-01-01-01"), ("emodb", "03a01Xa")])
def test_another_name_is_refused_and_named(folder, corpus, name):
    with pytest.raises(CorpusError, match=name):
        load_recordings(folder(f"{name}.wav"), corpus=corpus, label_set="emotion")


def test_a_file_that_is_no_sound_is_named(folder):
    place = folder("03a01Fa.wav")
    (place / "03a01Wa.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match="03a01Wa"):
        load_recordings(place, corpus="emodb", label_set="emotion")


def test_no_recordings_and_unknown_labels_are_refused(folder):
    with pytest.raises(CorpusError, match="wav files"):
        load_recordings(folder(), corpus="ravdess", label_set="emotion")
    with pytest.raises(CorpusError, match="six_way"):
        load_recordings(folder(), corpus="ravdess", label_set="six_way")
    with pytest.raises(CorpusError, match="none beside recordings"):
        open_corpus("emodb", "emotion", folder("03a01Fa.wav"), ["audio"])


@pytest.mark.corpus
@pytest.mark.skipif("MM_EMOTION_DATA" not in os.environ, reason="MM_EMOTION_DATA is not set")
@pytest.mark.parametrize("corpus", ["ravdess", "emodb"])
def test_every_speaker_of_the_real_recordings_can_be_held_out(corpus):
    place = Path(os.environ["MM_EMOTION_DATA"]) / f"speech_{corpus}"
    if not place.is_dir():
        pytest.skip(f"no {place.name} in MM_EMOTION_DATA")
    rows = open_corpus(corpus, "emotion", place)
    assert set(rows["label"]) == set(range(len(LABEL_SETS[corpus]["emotion"])))
    for number in range(1, len(set(rows["speaker"])) + 1):
        validate_split(rows, resolve_split(rows, f"speaker_fold_{number}"))
