"""Every family has a tiny checkpoint that the Auto classes open."""

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoProcessor

from mm_emotion.errors import CheckpointError, ConfigError
from mm_emotion.hub.tiny import tiny_checkpoint
from mm_emotion.models import MODELS
from mm_emotion.pipeline import MultimodalEmotionPipeline, load_system

SOUND = (np.random.default_rng(1).normal(size=9000), 16000)


@pytest.mark.parametrize("model_type", [config.model_type for config, _ in MODELS])
def test_every_family(model_type, tmp_path):
    folder = tiny_checkpoint(model_type, tmp_path / model_type)
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1_000_000
    model, processor = load_system(folder)
    assert isinstance(AutoModel.from_pretrained(folder), type(model))
    assert set(processor.columns) <= set(model.input_shapes())
    batch = {}
    for key, axes in model.input_shapes().items():
        shape = (1, 2, *(size or 6 for size in axes))
        batch[key] = torch.ones(shape, dtype=torch.int64) if key == "input_ids" else torch.rand(shape)
    logits = model(**batch, speaker_mask=torch.eye(2, dtype=torch.bool)[None]).logits
    assert logits.shape == (1, 2, 4)
    assert logits.isfinite().all()
    if {"input_ids", "text", "audio"} & set(processor.columns):
        utterance = {"speaker": "A", "text": "we are all there", "audio": SOUND}
        (emotion,) = MultimodalEmotionPipeline(model, processor=AutoProcessor.from_pretrained(folder))(utterance)
        assert set(emotion["scores"]) == {"angry", "happy", "neutral", "sad"}


@pytest.mark.parametrize("model_type", ["hierarchical", "early_fusion", "late_fusion", "joint", "text_cnn"])
def test_other_labels_than_the_weights_have_are_refused_when_it_is_loaded(model_type, tmp_path):
    folder = tiny_checkpoint(model_type, tmp_path / model_type)
    with pytest.raises((ConfigError, CheckpointError)):
        AutoModel.from_pretrained(folder, id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1})


def test_a_seed_is_a_set_of_weights_and_the_random_state_is_left_alone(tmp_path):
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    weights = [
        (tiny_checkpoint("joint", tmp_path / name, seed) / "model.safetensors").read_bytes()
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert torch.equal(torch.rand(2), expected)
    assert weights[0] == weights[1] != weights[2]


def test_an_unknown_family_is_named(tmp_path):
    with pytest.raises(CheckpointError, match="did you mean 'joint'"):
        tiny_checkpoint("jont", tmp_path / "x")
    assert not (tmp_path / "x").exists()
