"""Windows over the utterances before each one, the GRU that reads them, and the read itself."""

import torch

from mm_emotion.layers.memory import (
    Histories,
    Past,
    WindowGRU,
    over_batch,
    over_dialogue,
    places,
    read_memory,
    windows,
)


def test_a_window_holds_the_utterances_before_with_the_latest_last():
    values = torch.tensor([[0.0, 0, 1, 2, 3, 4]])  # two empty places, then the utterances 1 to 4
    assert windows(values, 2).tolist() == [[[0, 0], [0, 1], [1, 2], [2, 3]]]


def test_places_are_those_of_the_windows_of_real_utterances():
    values, real = torch.arange(14.0).view(2, 7), torch.tensor([[True, True, True, False, False], [True] * 5])
    found = torch.stack(places(values, 2, real), -1)  # (N, 2)
    assert torch.equal(found, windows(values, 2)[real])
    assert torch.equal(over_batch(found, real), windows(values, 2) * real[..., None])


def test_what_is_remembered_continues_a_dialogue():
    x, speakers = torch.arange(10.0).view(1, 5, 2), torch.tensor([[0, 1, 1, 0, 1]])
    mask = torch.ones(1, 5, dtype=torch.bool)
    whole = Past.before(x, speakers, mask, 3, None)
    first = Past.before(x[:, :2], speakers[:, :2], mask[:, :2], 3, None)
    rest = Past.before(x[:, 2:], speakers[:, 2:], mask[:, 2:], 3, first.remembered(3))
    for all_of_it, later in zip(whole, rest, strict=True):
        assert torch.equal(all_of_it[:, 2:], later)


def test_weights_of_places_are_weights_of_utterances():
    weights = torch.tensor([[[0.0, 0.0], [0.0, 1.0], [0.25, 0.75], [0.5, 0.5]]])
    expected = [[0, 0, 0, 0], [1, 0, 0, 0], [0.25, 0.75, 0, 0], [0, 0.5, 0.5, 0]]
    assert over_dialogue(weights)[0].tolist() == expected


def test_a_window_longer_than_the_dialogue_gives_weight_to_no_wrong_utterance():
    weights = torch.zeros(1, 2, 5)
    weights[0, 1, 4] = 1
    assert over_dialogue(weights)[0].tolist() == [[0, 0], [1, 0]]


def test_the_reset_gate_acts_before_the_product():
    torch.manual_seed(0)
    gru, x, h = WindowGRU(2, 3).double(), torch.randn(2, 1, 2).double(), torch.zeros(3).double()
    outputs = gru([gru.read(value) for value in x])
    for value, output in zip(x, outputs, strict=True):
        both = torch.cat([value[0], h])
        r, z = torch.sigmoid(gru.gates(both)).chunk(2)
        h = z * h + (1 - z) * torch.tanh(gru.candidate(torch.cat([value[0], r * h])))
        torch.testing.assert_close(output[0], h)


def test_gates_start_open_and_matrices_differ():
    gru = WindowGRU(4, 3)
    gru.reset_parameters()
    assert gru.gates.bias.tolist() == [1] * 6 and gru.candidate.bias.tolist() == [0] * 3
    assert gru.gates.weight.std() > 0


def test_a_place_that_does_not_count_keeps_the_state_and_puts_out_nothing():
    torch.manual_seed(0)
    gru, x = WindowGRU(2, 3), torch.randn(3, 1, 2)
    kept = torch.tensor([[True, False, True]])
    outputs = gru([gru.read(value) for value in x], kept)
    assert not outputs[1].any()
    torch.testing.assert_close(outputs[2], gru([gru.read(x[0]), gru.read(x[2])])[1])


def test_each_history_holds_one_side():
    torch.manual_seed(0)
    histories = Histories(2, 3, 4)
    real = torch.tensor([[True] * 4 + [False]])
    past = Past.before(torch.randn(1, 5, 2), torch.tensor([[0, 1, 2, 0, 0]]), real, 4, None)
    own_states, other_states, own, other = histories(past, real)
    assert own[3].tolist() == [False, True, False, False]
    assert other[3].tolist() == [False, False, True, True]
    assert len(own) == 4 and not own[0].any() and not other[0].any()
    for states, spoke in ((own_states, own), (other_states, other)):
        assert torch.equal(torch.stack(states, 1).abs().sum(-1) > 0, spoke)


def test_reading_an_empty_memory_finds_nothing():
    query, memory = torch.randn(1, 2, 3), torch.randn(1, 2, 4, 3)
    mask = torch.tensor([[[False] * 4, [False, True, True, False]]])
    found, weights = read_memory(query, memory, memory, mask)
    assert not found[0, 0].any() and not weights[0, 0].any()
    scores = torch.tanh(memory[0, 1, 1:3] @ query[0, 1]).softmax(0)
    torch.testing.assert_close(weights[0, 1, 1:3], scores)
    torch.testing.assert_close(found[0, 1], scores @ memory[0, 1, 1:3])
