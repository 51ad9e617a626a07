import json

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoFeatureExtractor, AutoProcessor

from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features.extractor import FILE_NAME, EmotionFeatureExtractor
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.features.short_term import short_term_features
from mm_emotion.features.sound import read_audio

EVERYTHING = {
    "audio": {"feature": "short_term", "max_length": 6, "pad_side": "left"},
    "visual": {"frames": 3, "height": 8, "width": 10, "colour": "grey"},
    "mocap": {"parts": 4},
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory, make):
    """Four prepared rows of one dialogue in the layout of the release; the last has neither picture nor motion."""
    root = tmp_path_factory.mktemp("rows")
    video = make["video"](root / "Ses01F_impro01.avi", seconds=3.0, audio_rate=None)
    (root / "sentences" / "wav" / "Ses01F_impro01").mkdir(parents=True)
    rows = []
    for number in range(4):
        name, start = f"Ses01F_impro01_F00{number}", 0.6 * number
        wav = make["noise"](root / "sentences" / "wav" / "Ses01F_impro01" / f"{name}.wav", number)
        if number < 3:
            make["markers"](root / "sentences", name, start, start + 0.5)
        place = {"start": start, "end": start + 0.5, "video_path": str(video) if number < 3 else ""}
        rows.append({"utterance_id": name, "audio_path": str(wav), **place, "label": number % 2, "party": 0})
    return rows


@pytest.fixture(scope="module")
def processor(rows) -> EmotionProcessor:
    return EmotionProcessor.fit(rows, EVERYTHING)


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_media_become_one_batch_of_the_contract(processor, rows):
    assert processor.columns == ("audio", "visual", "mocap")
    assert processor.stored_columns == ("audio", "mocap")
    batch = processor(rows)
    assert batch["audio"].shape == (1, 4, 6, 34)
    assert batch["visual"].shape == (1, 4, 1, 3, 8, 10)
    assert batch["mocap"].shape == (1, 4, 4, 189)
    present = [[False, True, True, True]] * 3 + [[False, True, False, False]]
    assert batch["modality_mask"][0].tolist() == present
    assert batch["labels"].tolist() == [[0, 1, 0, 1]]


def test_scaling_is_that_of_the_training_steps_and_padding_stays_zero(processor, rows):
    sequences = [processor.utterance(row, ["audio"])["audio"] for row in rows]
    steps = np.concatenate([sequence[-4:] for sequence in sequences])
    np.testing.assert_allclose(steps.mean(axis=0), 0, atol=1e-5)
    assert not np.stack(sequences)[:, :2].any()
    raw = short_term_features(*read_audio(rows[0]["audio_path"]))
    scaling = processor.feature_extractor.scalings["audio"]
    np.testing.assert_allclose(sequences[0][2:], (raw - scaling.offset) / scaling.scale, rtol=1e-4, atol=1e-4)


def test_everything_fitted_is_saved_and_loaded(tmp_path, processor, rows):
    processor.save_pretrained(tmp_path)
    assert load_file(tmp_path / FILE_NAME).keys() == {
        *("audio.offset", "audio.scale", "mocap.offset", "mocap.scale"),
    }
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert loaded.feature_extractor.features == processor.feature_extractor.features
    assert same(loaded(rows), processor(rows))
    alone = AutoFeatureExtractor.from_pretrained(tmp_path)
    assert type(alone) is EmotionFeatureExtractor
    with pytest.raises(FeatureError, match="scaling of audio"):
        alone("audio", rows[0])  # its JSON alone does not hold the arrays
    alone.load_arrays(tmp_path / FILE_NAME, "here")
    np.testing.assert_array_equal(alone("audio", rows[0]), processor.utterance(rows[0])["audio"])


def test_without_scaling_nothing_is_fitted_and_no_file_is_left(tmp_path, processor, rows):
    processor.save_pretrained(tmp_path)
    plain = EmotionProcessor.fit(rows, {"audio": {"feature": "short_term", "scaling": "none"}})
    raw = short_term_features(*read_audio(rows[0]["audio_path"]))
    np.testing.assert_array_equal(plain.utterance(rows[0])["audio"], raw)
    plain.save_pretrained(tmp_path)
    assert not (tmp_path / FILE_NAME).exists()
    assert same(AutoProcessor.from_pretrained(tmp_path)(rows), plain(rows))


@pytest.mark.parametrize("scaling", ["standard", "min_max"])
def test_a_selection_is_fitted_on_labelled_rows_and_saved(tmp_path, rows, scaling):
    options = {"audio": {"selection": "linear_svm", "selected": 5, "scaling": scaling}}
    chosen = EmotionProcessor.fit([*rows, {**rows[0], "label": None}], options)
    whole = EmotionProcessor.fit([*rows, rows[0]], {"audio": {"scaling": scaling}})
    indices = chosen.feature_extractor.scalings["audio"].indices
    assert len(indices) == 5
    vector = chosen.utterance(rows[1])["audio"]
    np.testing.assert_array_equal(vector, whole.utterance(rows[1])["audio"][indices])
    chosen.save_pretrained(tmp_path)
    np.testing.assert_array_equal(AutoProcessor.from_pretrained(tmp_path).utterance(rows[1])["audio"], vector)
    with pytest.raises(FeatureError, match="labelled training utterances"):
        EmotionProcessor.fit([{**row, "label": -100} for row in rows], options)


@pytest.mark.parametrize("damage", ["lost", "cut", "others", "narrow", "half"])
def test_a_lost_or_other_file_of_arrays_is_refused(tmp_path, processor, rows, damage):
    processor.save_pretrained(tmp_path)
    path = tmp_path / FILE_NAME
    tensors = load_file(path)
    metadata = {"features": json.dumps(processor.feature_extractor.features)}
    if damage == "lost":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:100])
    elif damage == "others":
        EmotionProcessor.fit(rows, {"audio": {"feature": "short_term"}}).feature_extractor.save_arrays(tmp_path)
    elif damage == "narrow":
        save_file({name: values[:3] for name, values in tensors.items()}, path, metadata)
    else:
        save_file({name: values for name, values in tensors.items() if name != "mocap.scale"}, path, metadata)
    with pytest.raises(CheckpointError, match="features"):
        AutoProcessor.from_pretrained(tmp_path)


def test_an_error_names_the_utterance_and_the_file(processor, rows, tmp_path):
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 8000, subtype="FLOAT")
    with pytest.raises(FeatureError, match=r"nan\.wav.*\(utterance 'u7'\): expected finite") as caught:
        processor.utterance({"utterance_id": "u7", "audio_path": str(tmp_path / "nan.wav")})
    assert caught.value.expected == "finite samples"
    assert processor.utterance({"audio_path": ""}) == {"audio": None, "visual": None, "mocap": None}
    with pytest.raises(FeatureError, match="audio or video or mocap"):
        processor([{"text": "hello"}])


def test_a_video_alone_gives_sound_and_picture(processor, clip):
    batch = processor({"video": str(clip), "start": 0.5, "end": 1.5})
    assert batch["modality_mask"].tolist() == [[[False, True, True, False]]]
    assert batch["audio"].shape == (1, 1, 6, 34)


def test_licences_are_told_by_column():
    extractor = EmotionFeatureExtractor({"audio": {"feature": "opensmile"}, "mocap": {}})
    assert extractor.licences.keys() == {"audio"}
    assert EmotionFeatureExtractor({"audio": {}}).licences == {}


def test_word_vectors_are_made_for_the_vocabulary(tmp_path):
    (tmp_path / "v.txt").write_text("cold 1 2\nboat 3 4\n")
    train = [{"transcript": "cold cold lake"}]
    vectors = {"path": str(tmp_path / "v.txt"), "unknown": "mean"}
    processor = EmotionProcessor.fit(train, {"input_ids": {"word_vectors": vectors}})
    assert processor.embedding_table.matrix.tolist() == [[0, 0], [1, 2], [1, 2], [1, 2]]
    assert processor.embedding_table.coverage.occurrences_found == 2
    processor.save_pretrained(tmp_path / "saved")
    assert AutoProcessor.from_pretrained(tmp_path / "saved").embedding_table is None
    for options, message in (({"unknown": "mean"}, "path"), ({**vectors, "sed": 1}, "did you mean 'seed'")):
        with pytest.raises(FeatureError, match=message):
            EmotionProcessor.fit(train, {"input_ids": {"word_vectors": options}})
    with pytest.raises(FeatureError, match="latent_semantic"):
        EmotionProcessor.fit(train, {"text": {"feature": "bag_of_words"}})


def test_media_that_cannot_be_read_are_refused_or_skipped_and_counted(tmp_path):
    soundfile.write(tmp_path / "good.wav", 0.1 * np.random.default_rng(0).standard_normal(8000), 16000)
    (tmp_path / "bad.wav").write_text("no sound")
    rows = [
        {"utterance_id": name, "audio_path": str(tmp_path / f"{name}.wav"), "start": 0.0, "end": 0.5}
        for name in ("good", "bad", "absent")
    ]
    rows.append({**rows[0], "utterance_id": "late", "start": 9.0, "end": 9.5, "audio_path": rows[0]["audio_path"]})
    soundfile.write(tmp_path / "dialogue.wav", np.zeros(16000 * 3), 16000)
    rows[3]["audio_path"] = str(tmp_path / "dialogue.wav")
    strict = EmotionFeatureExtractor({"audio": {"scaling": "none"}})
    for row in rows[1:]:
        with pytest.raises(FeatureError, match=rf"utterance '{row['utterance_id']}'"):
            strict("audio", row)
    tolerant = EmotionFeatureExtractor({"audio": {"scaling": "none", "on_error": "skip"}})
    assert [tolerant("audio", row) is None for row in rows] == [False, True, True, True]
    assert set(tolerant.skipped["audio"]) == {"bad", "absent", "late"}
    assert "no such file" in tolerant.skipped["audio"]["absent"]
    assert "skipped" not in tolerant.to_dict()
