"""The LSTM with one bias, its dropout, and reading both ways."""

import pytest
import torch
from torch import nn

from mm_emotion.layers import recurrent
from mm_emotion.layers.recurrent import AttentionDecoder, BothWays, OneBiasLSTM


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


def test_the_second_bias_is_a_buffer_of_zeros_that_is_saved_and_never_trained():
    layer = OneBiasLSTM(3, 5)
    assert sum(parameter.numel() for parameter in layer.parameters()) == 4 * 5 * (3 + 5 + 1)
    assert "bias_hh_l0" in layer.state_dict() and not layer.bias_hh_l0.any()
    other = nn.LSTM(3, 5, batch_first=True)
    other.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 3)
    torch.testing.assert_close(layer(x), other(x)[0])
    layer(x).sum().backward()
    torch.optim.SGD(layer.parameters(), 0.1).step()
    assert not layer.bias_hh_l0.any()


def test_weights_that_were_loaded_moved_or_replaced_are_the_ones_that_are_used():
    layer, other = OneBiasLSTM(3, 4).double(), OneBiasLSTM(3, 4)
    x = torch.randn(2, 5, 3).double()
    layer.load_state_dict(other.state_dict())
    torch.testing.assert_close(layer(x), other.double()(x))
    layer.bias_ih_l0 = nn.Parameter(torch.randn(16).double())
    layer.bias_hh_l0 = torch.zeros(16).double()
    other.bias_ih_l0.data.copy_(layer.bias_ih_l0)
    torch.testing.assert_close(layer(x), other(x))


def test_without_dropping_step_by_step_is_the_same():
    layer, x = OneBiasLSTM(3, 4), torch.randn(2, 5, 3)
    torch.testing.assert_close(layer._dropped(x), layer(x))


def test_each_gate_has_its_own_masks_for_the_whole_sequence(monkeypatch):
    layer, x = OneBiasLSTM(3, 2, dropout=0.5, recurrent_dropout=0.5), torch.randn(1, 4, 3)
    inputs, states = torch.rand(4, 1, 1, 3).round() * 2, torch.rand(4, 1, 2).round() * 2
    masks = iter([inputs, states])
    monkeypatch.setattr(recurrent.F, "dropout", lambda ones, rate: next(masks) * ones)
    found = layer.train()(x)[0]
    kernel, recurrent_kernel, bias = layer.weight_ih_l0, layer.weight_hh_l0, layer.bias_ih_l0
    state = memory = torch.zeros(2)
    for step, expected in zip(x[0], found, strict=True):
        gates = []
        for gate in range(4):
            rows = slice(2 * gate, 2 * gate + 2)
            entered = kernel[rows] @ (step * inputs[gate, 0, 0]) + recurrent_kernel[rows] @ (state * states[gate, 0])
            gates.append(entered + bias[rows])
        memory = gates[1].sigmoid() * memory + gates[0].sigmoid() * gates[2].tanh()
        state = gates[3].sigmoid() * memory.tanh()
        torch.testing.assert_close(expected, state)


def test_dropout_acts_in_training_alone():
    layer, x = OneBiasLSTM(3, 4, recurrent_dropout=0.5), torch.randn(2, 5, 3)
    layer.eval()
    assert torch.equal(layer(x), layer(x))
    layer.train()
    assert not torch.equal(layer(x), layer(x))


@pytest.mark.parametrize("make", [lambda: OneBiasLSTM(3, 4), lambda: AttentionDecoder(3, 4, 2)])
def test_both_ways_reads_each_sequence_at_its_own_length(make):
    layer, x = BothWays(make(), make()), torch.randn(3, 6, 3)
    mask = torch.arange(6) < torch.tensor([[6], [3], [1]])
    found = layer(x.masked_fill(~mask[..., None], 5.0), mask)
    for row, length in enumerate([6, 3, 1]):
        alone = x[row : row + 1, :length]
        expected = torch.cat([layer.ahead(alone), layer.back(alone.flip(1)).flip(1)], -1)
        torch.testing.assert_close(found[row : row + 1, :length], expected)


def test_the_decoder_starts_orthogonal_and_emits_distributions():
    layer = AttentionDecoder(5, 4, 3)
    for name in ("reset_state", "proposal_state", "output_output", "initial"):
        matrix = getattr(layer, name)
        torch.testing.assert_close(matrix @ matrix.T, torch.eye(len(matrix)))
    assert not any(parameter.any() for name, parameter in layer.named_parameters() if name.endswith("_bias"))
    outputs = layer(torch.randn(2, 6, 5))
    torch.testing.assert_close(outputs.sum(-1), torch.ones(2, 6))
