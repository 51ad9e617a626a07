import json

import numpy as np
import pytest
import soundfile
import torch
from datasets import Dataset
from transformers import AutoProcessor

from mm_emotion.errors import BatchError, CheckpointError, FeatureError
from mm_emotion.features.functionals import FUNCTIONAL_NAMES, VERSION, acoustic_functionals
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.features.vocabulary import UNKNOWN_ID

WIDTH = len(FUNCTIONAL_NAMES)
BOTH = {"input_ids": {}, "audio": {}}
SEMANTIC = {"word_dimensions": 2, "character_dimensions": 2, "word_minimum": 1, "character_minimum": 1}
SUBSETS = [{"input_ids": {}}, {"text": SEMANTIC}, {"audio": {}}, BOTH, {"text": SEMANTIC, "audio": {}}]


def sound(seed: int, seconds: float = 0.3) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * 16000))


@pytest.fixture
def rows(tmp_path) -> list[dict]:
    """Prepared rows of one dialogue; times are those of the dialogue, files those of the single utterances."""
    rows = []
    for number, text in enumerate(["the lake is cold", "is it", "", "no the boat is cold"]):
        path = tmp_path / f"{number}.wav"
        soundfile.write(path, sound(number), 16000, subtype="FLOAT")
        times = {"start": 10.0 * number, "end": 10.0 * number + 0.3}
        rows.append(
            {"transcript": text, "audio_path": str(path), **times, "speaker": "AB"[number % 2], "split": "train"}
        )
    return rows


@pytest.fixture
def processor(rows) -> EmotionProcessor:
    return EmotionProcessor.fit(rows, BOTH)


def same(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_the_standardisation_is_that_of_the_training_rows(processor, rows):
    vectors = np.stack([processor.utterance(row)["audio"] for row in rows])
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-4)
    deviation = vectors.std(axis=0)
    constant = FUNCTIONAL_NAMES.index("duration")
    assert deviation[constant] == 0
    np.testing.assert_allclose(deviation[deviation > 0.01], 1, atol=1e-3)
    raw = np.stack([acoustic_functionals(sound(number), 16000) for number in range(4)])
    scaling = processor.feature_extractor.scalings["audio"]
    np.testing.assert_allclose(scaling.offset, raw.mean(axis=0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("features", SUBSETS)
def test_any_subset_of_features_is_fitted_saved_and_loaded(tmp_path, rows, features):
    processor = EmotionProcessor.fit(rows, features)
    assert processor.columns == tuple(features)
    processor.save_pretrained(tmp_path / "saved")
    for loader in (EmotionProcessor, AutoProcessor):
        loaded = loader.from_pretrained(tmp_path / "saved")
        assert type(loaded) is EmotionProcessor
        assert loaded.columns == processor.columns
        batch, again = processor([rows]), loaded([rows])
        assert same(batch, again)
        assert set(features) <= set(batch)
        loaded.save_pretrained(tmp_path / "twice")
        assert same(batch, AutoProcessor.from_pretrained(tmp_path / "twice")([rows]))


def test_lost_latent_semantic_tables_are_noticed(tmp_path, rows):
    EmotionProcessor.fit(rows, {"text": SEMANTIC, "audio": {}}).save_pretrained(tmp_path)
    (tmp_path / "latent_semantic.safetensors").unlink()
    with pytest.raises(CheckpointError, match="vectors of 4 values"):
        AutoProcessor.from_pretrained(tmp_path)


def test_a_processor_loads_from_the_folder_of_a_model(tmp_path, processor, rows):
    (tmp_path / "config.json").write_text('{"model_type": "a_family_of_this_package"}')
    processor.save_pretrained(tmp_path)
    assert same(AutoProcessor.from_pretrained(tmp_path)([rows]), processor([rows]))


def test_options_reach_the_tokenizer_and_are_saved(tmp_path, rows):
    options = {"max_words": 3, "max_length": 4, "pad_side": "left", "truncation_side": "right"}
    processor = EmotionProcessor.fit(rows, {"input_ids": options})
    assert processor.utterance({"text": "the lake is cold"}) == {"input_ids": [3, 1, 2, 4]}
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert loaded.utterance({"text": "cold"}) == {"input_ids": [0, 0, 0, 4]}


def test_words_one_by_one_are_read_in_place_of_the_transcript(tmp_path):
    rows = [{"transcript": "no words", "words": ["", "good", "film"], "text": [[0.0], [1.0], [2.0]]}]
    EmotionProcessor.fit(rows, {"input_ids": {"read": "words"}}).save_pretrained(tmp_path)
    processor = EmotionProcessor.from_pretrained(tmp_path)
    assert processor.utterance(rows[0])["input_ids"] == [0, 2, 3]
    assert processor.utterance({"transcript": "good", "words": None})["input_ids"] is None
    assert processor({"words": ["film"]})["input_ids"].tolist() == [[[3]]]
    with pytest.raises(FeatureError, match="words: expected a list of strings or None, got 'good film'"):
        processor.utterance({"words": "good film"})


def test_the_batch_follows_the_contract(processor, rows):
    batch = processor([rows, rows[:2]])
    assert set(batch) == {
        *("input_ids", "text_mask", "audio", "modality_mask", "utterance_mask", "speaker_mask"),
    }
    assert batch["input_ids"].shape == (2, 4, 5)
    assert batch["audio"].shape == (2, 4, WIDTH)
    assert batch["utterance_mask"].tolist() == [[True] * 4, [True, True, False, False]]
    assert batch["speaker_mask"].int().argmax(dim=-1).tolist() == [[0, 1, 0, 1], [0, 1, 0, 0]]
    assert batch["input_ids"][0, 2].tolist() == [1, 0, 0, 0, 0]  # no words: one unknown word
    np.testing.assert_array_equal(batch["audio"][1, 1], processor.utterance(rows[1])["audio"])


def test_a_dialogue_and_an_utterance_alone_are_batches(processor):
    utterances = [{"text": "is it", "speaker": "x"}, {"text": "cold", "speaker": "y"}]
    assert same(processor(utterances), processor([utterances]))
    assert same(processor(utterances[0]), processor([utterances[:1]]))
    assert processor(utterances[0], num_parties=3)["speaker_mask"].tolist() == [[[True, False, False]]]


def test_a_missing_modality_is_masked(processor):
    batch = processor([{"text": "cold"}, {"audio": (sound(1), 16000)}, {"text": "is it", "audio": (sound(2), 16000)}])
    assert batch["modality_mask"][0, :, :2].tolist() == [[True, False], [False, True], [True, True]]
    assert not batch["modality_mask"][0, :, 2:].any()
    assert batch["audio"][0, 0].eq(0).all()
    assert "audio" not in processor([{"text": "cold"}])
    assert batch["speaker_mask"].shape == (1, 3, 1)


def test_an_utterance_without_words_is_one_unknown_word(processor):
    batch = processor([{"text": ""}, {"text": "?!"}, {"text": "never heard"}])
    assert batch["input_ids"][0].tolist() == [[UNKNOWN_ID, 0], [UNKNOWN_ID, 0], [UNKNOWN_ID, UNKNOWN_ID]]
    assert batch["modality_mask"][0, :, 0].all()


def test_labels_and_parties_pass_through(processor):
    batch = processor([{"text": "a", "party": 1, "label": 4}, {"text": "b", "party": 0, "label": None}])
    assert batch["labels"].tolist() == [[4, -100]]
    assert batch["speaker_mask"][0].int().tolist() == [[0, 1], [1, 0]]


def test_columns_map_over_a_dataset_and_ignore_other_columns(processor, rows):
    rows = [
        {**row, "scenario": "improvised", "audio_path": row["audio_path"] if i else ""} for i, row in enumerate(rows)
    ]
    mapped = Dataset.from_list(rows).map(processor.utterance)
    assert mapped[1]["input_ids"] == processor.utterance(rows[1])["input_ids"]
    assert mapped[0]["audio"] is None
    np.testing.assert_array_equal(np.float32(mapped[1]["audio"]), processor.utterance(rows[1])["audio"])


def test_the_words_are_found_beside_a_text_feature(processor):
    row = {"text": [0.1, 0.2], "transcript": "is it"}
    assert processor.utterance(row)["input_ids"] == processor.utterance({"text": "is it"})["input_ids"]


def test_a_path_is_cut_and_a_recording_of_the_utterance_is_not(tmp_path, processor):
    whole = sound(5, seconds=3.0)
    soundfile.write(tmp_path / "dialogue.wav", whole, 16000, subtype="FLOAT")
    cut = processor.utterance({"audio": (whole[16000:24000].astype(np.float32), 16000)})["audio"]
    times = {"start": 1.0, "end": 1.5}
    for key in ("audio", "audio_path"):
        found = processor.utterance({key: str(tmp_path / "dialogue.wav"), **times})["audio"]
        np.testing.assert_array_equal(found, cut)
    soundfile.write(tmp_path / "own.wav", whole[16000:24000], 16000, subtype="FLOAT")
    own = processor.utterance({"audio_path": str(tmp_path / "own.wav"), "start": 60.0, "end": 60.5})["audio"]
    np.testing.assert_array_equal(own, cut)
    with pytest.raises(FeatureError, match=r"sound from 60\.0 s"):
        processor.utterance({"audio": str(tmp_path / "own.wav"), "start": 60.0, "end": 60.5})


def test_an_unknown_key_is_refused_with_the_nearest_one(processor):
    with pytest.raises(FeatureError, match=r"speakr.*did you mean 'speaker'"):
        processor([{"text": "a", "speakr": "A"}])


@pytest.mark.parametrize(
    ("dialogue", "message"),
    [
        ([{"text": 3}], "a string or None"),
        ([{"audio": np.zeros(5)}], "a path"),
        ([{"audio": 1.0}], "a path"),
        ([{"audio": "absent.wav"}], "no such file"),
        ([{"audio_path": "absent.wav", "start": 0.0, "end": 1.0}], "no such file"),
        ([{"audio": (np.zeros(0), 16000)}], "at least one sample"),
        ([{"text": "a", "speaker": "A"}, {"text": "b"}], "speaker"),
        ([{"text": "a", "position": 1}, {"text": "b", "position": 0}], "position: expected more than 1, .* got 0"),
        ([{"text": "a", "position": 2}, {"text": "b"}, {"text": "c", "position": 2}], "position: expected more than 2"),
        ([{"text": "a", "position": "1"}, {"text": "b", "position": 2}], "position: expected a number, got '1'"),
        ([{"text": "a", "party": -1}], "party: expected a whole number from 0, got -1"),
        ([{"text": "a", "speaker": ["A", "B"]}], r"speaker: expected one name or number, got \['A', 'B'\]"),
        ([{"text": "a", "speaker": float("nan")}, {"text": "b", "speaker": "A"}], "speaker: .* got nan"),
        ([{"text": None}], "text or audio"),
        ([{"speaker": "A"}, "b"], "a dictionary"),
    ],
)
def test_bad_utterances_are_refused(processor, dialogue, message):
    with pytest.raises(FeatureError, match=message):
        processor([dialogue])


def test_an_empty_batch_or_dialogue_is_refused(processor):
    for dialogues in ([], [[]]):
        with pytest.raises(BatchError, match="at least one"):
            processor(dialogues)


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"inputids": {}}, "did you mean 'input_ids'"),
        ({"input_ids": {"max_lenght": 3}}, "did you mean 'max_length'"),
        ({"audio": {"feature": "spectrogram"}}, "functionals"),
    ],
)
def test_unknown_features_and_options_are_refused(rows, features, message):
    with pytest.raises(FeatureError, match=message):
        EmotionProcessor.fit(rows, features)


def test_rows_without_what_is_fitted_are_refused():
    with pytest.raises(FeatureError, match="at least one word"):
        EmotionProcessor.fit([{"transcript": ""}], {"input_ids": {}})
    with pytest.raises(FeatureError, match="vectors"):
        EmotionProcessor.fit([{"transcript": "a", "audio_path": ""}], {"audio": {}})


def test_another_version_of_a_feature_is_refused(tmp_path, processor):
    processor.save_pretrained(tmp_path)
    path = tmp_path / "processor_config.json"
    saved = json.loads(path.read_text())
    saved["feature_extractor"]["features"]["audio"]["version"] = VERSION + 1
    path.write_text(json.dumps(saved))
    with pytest.raises(CheckpointError, match="version of functionals"):
        AutoProcessor.from_pretrained(tmp_path)


def test_sound_is_never_read_without_its_standardisation(tmp_path, processor):
    processor.save_pretrained(tmp_path)
    (tmp_path / "features.safetensors").unlink()
    with pytest.raises(CheckpointError, match="mean and scale"):
        AutoProcessor.from_pretrained(tmp_path)
