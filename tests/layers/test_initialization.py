"""Weights as Keras starts them."""

import math

import pytest
import torch
from torch import nn

from mm_emotion.layers.initialization import keras_initialization
from mm_emotion.layers.recurrent import OneBiasLSTM
from mm_emotion.models import SequenceStackConfig, SequenceStackForEmotionRecognition


@pytest.mark.parametrize(
    ("module", "fans"),
    [
        (nn.Linear(200, 100), 300),
        (nn.Conv1d(40, 50, 3), 3 * 90),
        (nn.Conv2d(20, 30, 3), 9 * 50),
        (nn.Conv3d(8, 10, 3), 27 * 18),
    ],
)
def test_kernels_are_glorot_uniform_and_biases_zero(module, fans):
    torch.manual_seed(0)
    assert keras_initialization(module)
    bound = math.sqrt(6 / fans)
    assert 0.97 * bound < module.weight.abs().max() <= bound
    assert not module.bias.any()


def test_embedding_and_lstm():
    table, layer = nn.Embedding(200, 30), OneBiasLSTM(6, 5)
    assert keras_initialization(table) and keras_initialization(layer)
    assert 0.049 < table.weight.abs().max() <= 0.05
    torch.testing.assert_close(layer.weight_hh_l0.T @ layer.weight_hh_l0, torch.eye(5))
    assert layer.bias_ih_l0.tolist() == [0.0] * 5 + [1.0] * 5 + [0.0] * 10
    assert not keras_initialization(nn.LayerNorm(3))


def test_a_model_starts_as_its_configuration_says_and_loaded_weights_stay(tmp_path):
    stages = [{"kind": "lstm", "units": 4}, {"kind": "dense", "units": 3}]
    models = {}
    for start in ("keras", "torch"):
        config = SequenceStackConfig(stages=stages, modality_dims={"audio": 3}, initialization=start)
        models[start] = SequenceStackForEmotionRecognition(config)
    assert not models["keras"].stages[1].bias.any() and models["torch"].stages[1].bias.any()
    with torch.no_grad():
        models["keras"].stages[1].bias.fill_(2)
    models["keras"].save_pretrained(tmp_path)
    loaded = SequenceStackForEmotionRecognition.from_pretrained(tmp_path)
    for name, value in models["keras"].state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)
