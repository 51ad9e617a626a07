"""A saved system predicts; one that is damaged or foreign is refused in words that name it."""

import json
import shutil

import pytest

from mm_emotion.errors import CheckpointError
from mm_emotion.pipeline import SYSTEM_FILES, load_system, predict_dialogue


@pytest.fixture
def copy(system, tmp_path):
    """A copy of the saved system, to be damaged."""
    return shutil.copytree(system, tmp_path / "copy")


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_each_utterance_has_a_label_and_the_share_of_each_class(system):
    model, processor = load_system(system)
    assert not model.training
    utterances = [{"text": "what a day", "speaker": "A"}, {"text": "is it", "speaker": "B"}, {"text": "no"}]
    emotions = predict_dialogue(model, processor, utterances[:2])
    assert len(emotions) == 2
    for emotion in emotions:
        assert list(emotion.scores) == ["happy", "sad", "neutral", "angry", "excited", "frustrated"]
        assert sum(emotion.scores.values()) == pytest.approx(1, abs=1e-5)
        assert emotion.score == emotion.scores[emotion.label] == max(emotion.scores.values())


def test_an_affect_model_answers_with_its_values(system):
    model, processor = load_system(system)
    model.config.problem_type = "regression"
    (emotion,) = predict_dialogue(model, processor, [{"text": "what a day"}])
    assert sum(emotion.scores.values()) != pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", SYSTEM_FILES)
@pytest.mark.parametrize("content", [b"{oops", b"", b"[1]", b'"x"', b"{}", b"\xff\xfe\x00", None])
def test_a_damaged_or_missing_file_is_named(copy, name, content):
    if content is None:
        (copy / name).unlink()
    else:
        (copy / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        load_system(copy)
    assert str(copy) in str(caught.value)
    assert "\n" not in str(caught.value)
    if content != b"{}":
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("config.json", {"model_type": "bert"}, "dialogue_rnn.*got 'bert'"),
        ("config.json", {"model_type": ["a"]}, r"got \['a'\]"),
        ("config.json", {"auto_map": {"AutoModel": "x.Y"}, "model_type": "zzz"}, "got 'zzz'"),
        ("config.json", {"freeze_encoders": 3}, "freeze_encoders"),
        ("config.json", {"id2label": [1]}, "intact"),
        ("processor_config.json", {"feature_extractor": [1]}, "intact"),
        ("processor_config.json", {"processor_class": "BertTokenizer"}, "processor and tokenizer"),
        ("tokenizer_config.json", {"tokenizer_class": "BertTokenizer"}, "processor and tokenizer"),
        ("tokenizer_config.json", {"pad_side": 3}, "pad_side"),
    ],
)
def test_a_model_of_another_make_is_refused(copy, name, values, message):
    change(copy / name, **values)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_system(copy)
    assert str(copy) in str(caught.value)


def test_a_system_that_lost_its_standardisation_is_refused(copy):
    (copy / "features.safetensors").unlink()
    with pytest.raises(CheckpointError, match="mean and scale"):
        load_system(copy)


@pytest.mark.parametrize("name", ["someone/nothing", "x", "a/b/c", "/nowhere"])
def test_what_is_neither_a_folder_nor_on_the_hub_is_named(name):
    with pytest.raises(CheckpointError, match=f"'{name}'"):
        load_system(name)
