"""A saved system loads; one that is damaged or foreign is refused in words that name it."""

import json
import shutil

import pytest

from mm_emotion.errors import CheckpointError
from mm_emotion.pipeline import SYSTEM_FILES, load_system


@pytest.fixture
def copy(system, tmp_path):
    """A copy of the saved system, to be damaged."""
    return shutil.copytree(system, tmp_path / "copy")


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


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
