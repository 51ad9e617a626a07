"""The transcriptions themselves: their cells against torch, their recurrences against steps written out by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from . import losses
from . import transcriptions as literal

ATTENTION_SHAPES = {
    "simple": {"vector.weight": (1, 4)},
    "general": {"transform.weight": (4, 3)},
    "general2": {"transform.weight": (4, 3), "transform.bias": (4,)},
    "concat": {"transform.weight": (2, 7), "vector.weight": (1, 2)},
}


@pytest.fixture(autouse=True)
def float64():
    torch.manual_seed(5)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def test_gru_cell_is_torch_gru_cell():
    cell, inputs, state = nn.GRUCell(3, 4), torch.randn(3), torch.randn(4)
    torch.testing.assert_close(literal.gru_cell(cell.state_dict(), inputs, state), cell(inputs, state))


def test_bidirectional_lstm_is_torch_lstm():
    lstm, inputs = nn.LSTM(3, 4, num_layers=2, bidirectional=True), torch.randn(5, 3)
    mine = literal.bidirectional_lstm(lstm.state_dict(), inputs, 2)
    torch.testing.assert_close(torch.stack(mine), lstm(inputs)[0])


@pytest.mark.parametrize("kind", ATTENTION_SHAPES)
def test_context_attention_formula(kind):
    weights = {name: torch.randn(shape) for name, shape in ATTENTION_SHAPES[kind].items()}
    history, utterance = torch.randn(3, 4), torch.randn(3)
    match kind:
        case "simple":
            scores = history @ weights["vector.weight"][0]
        case "concat":
            pairs = torch.cat([history, utterance.expand(3, 3)], 1)
            scores = (pairs @ weights["transform.weight"].T).tanh() @ weights["vector.weight"][0]
        case _:
            scores = history @ F.linear(utterance, weights["transform.weight"], weights.get("transform.bias"))
    context = literal.context_attention(kind, weights, list(history), utterance)
    torch.testing.assert_close(context, scores.softmax(0) @ history)


def test_dot_attention_has_no_weights():
    history, utterance = torch.randn(3, 4), torch.randn(4)
    context = literal.context_attention("dot", {}, list(history), utterance)
    torch.testing.assert_close(context, (history @ utterance).softmax(0) @ history)


@pytest.mark.parametrize("score_tanh", [False, True])
def test_matching_attention_is_a_softmax_over_valid_steps(score_tanh):
    transform, states = nn.Linear(4, 4), torch.randn(5, 4)
    mask = torch.tensor([True, True, True, False, False])
    weights = {f"transform.{name}": value for name, value in transform.state_dict().items()}
    attended, rows = literal.matching_attention(weights, list(states), mask, score_tanh)
    scores = transform(states) @ states.T
    scores = torch.tanh(scores) if score_tanh else scores
    expected = scores.masked_fill(~mask, float("-inf")).softmax(1)
    torch.testing.assert_close(torch.tensor([[float(share) for share in row] for row in rows]), expected)
    torch.testing.assert_close(torch.stack(attended), expected @ states)


@pytest.mark.parametrize("listener", [False, True])
def test_dialogue_rnn_cell_by_hand(listener):
    """Three steps spoken by parties 0, 1, 0 with every state dropped to half, unrolled without a loop."""
    big_g, big_p, big_l, big_e = nn.GRUCell(7, 4), nn.GRUCell(7, 4), nn.GRUCell(7, 4), nn.GRUCell(4, 2)
    cells = {"global_gru": big_g, "party_gru": big_p, "listener_gru": big_l, "emotion_gru": big_e}
    weights = {f"{name}.{key}": value for name, cell in cells.items() for key, value in cell.state_dict().items()}
    weights["context_attention.transform.weight"] = transform = torch.randn(4, 3)
    first, second, third = utterances = torch.randn(3, 3)
    speaker_mask = torch.tensor([[True, False], [False, True], [True, False]])
    widths = {"global_state": (3, 4), "party_states": (3, 2, 4), "listener_states": (3, 2, 4), "emotion_state": (3, 2)}
    drop = {name: torch.full(shape, 0.5) for name, shape in widths.items()}
    zero, cat = torch.zeros(4), torch.cat

    def hears(utterance, speaker_state, state):
        return big_l(cat([utterance, speaker_state]), state) / 2 if listener else state

    global_1 = big_g(cat([first, zero]), zero) / 2
    party_0 = big_p(cat([first, zero]), zero) / 2
    party_1 = hears(first, party_0, zero)
    emotion_1 = big_e(party_0, torch.zeros(2)) / 2

    global_2 = big_g(cat([second, party_1]), global_1) / 2
    party_1 = big_p(cat([second, global_1]), party_1) / 2
    party_0 = hears(second, party_1, party_0)
    emotion_2 = big_e(party_1, emotion_1) / 2

    share = torch.stack([global_1 @ transform @ third, global_2 @ transform @ third]).softmax(0)
    party_0 = big_p(cat([third, share[0] * global_1 + share[1] * global_2]), party_0) / 2
    emotion_3 = big_e(party_0, emotion_2) / 2

    mine = literal.dialogue_rnn_cell(weights, utterances, speaker_mask, "general", listener, drop)
    torch.testing.assert_close(torch.stack(mine), torch.stack([emotion_1, emotion_2, emotion_3]))


def test_reverse_valid_keeps_padding_behind():
    rows, mask = torch.tensor([[1.0], [2.0], [3.0], [9.0]]), torch.tensor([True, True, True, False])
    assert literal.reverse_valid(rows, mask).flatten().tolist() == [3.0, 2.0, 1.0, 0.0]


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("width", [3, 4, 5])
def test_convolution_is_torch_convolution(width, padding):
    convolution, vectors = nn.Conv1d(2, 3, width), torch.randn(7, 2)
    before = (width - 1) // 2 if padding == "same" else 0
    after = width - 1 - before if padding == "same" else 0
    expected = convolution(F.pad(vectors.T, (before, after))).relu().T
    mine = literal.convolve(convolution.state_dict(), list(vectors), padding)
    torch.testing.assert_close(torch.stack(mine), expected)


def test_pooling_orders_differ_where_a_branch_is_odd():
    """Branches of 5 and 4 steps: 9 steps pooled together give 4, apart 2 and 2, with other partners; one is global."""
    weights = {
        "embedding.weight": torch.randn(9, 2),
        "classifier.weight": torch.eye(8),
        "classifier.bias": torch.ones(8),
    }
    for branch, width in enumerate((2, 3)):
        weights[f"convolutions.{branch}.weight"] = torch.randn(2, 2, width)
        weights[f"convolutions.{branch}.bias"] = torch.full((2,), 3.0)  # few units off, so that few maxima tie
    tokens = torch.tensor([1, 5, 2, 0, 3, 8])
    vectors = weights["embedding.weight"][tokens].T
    first, second = (
        F.conv1d(vectors, weights[f"convolutions.{branch}.weight"], weights[f"convolutions.{branch}.bias"]).relu()
        for branch in range(2)
    )
    expected = {
        "after_concat": F.max_pool1d(torch.cat([first, second], 1), 2).T.flatten(),
        "per_branch": torch.cat([F.max_pool1d(first, 2), F.max_pool1d(second, 2)], 1).T.flatten(),
        "global": torch.cat([first.amax(1), second.amax(1)]),
    }
    for pool, flat in expected.items():
        weights["dense.weight"], weights["dense.bias"] = torch.eye(8)[:, : len(flat)], torch.zeros(8)
        logits = literal.text_cnn(weights, tokens, branches=2, padding="valid", pool=pool)
        torch.testing.assert_close(logits[: len(flat)], flat + 1)
    assert not torch.equal(expected["after_concat"], expected["per_branch"])


def test_negative_log_likelihood_is_weighted_cross_entropy():
    logits, class_weights = torch.randn(2, 3, 4), torch.tensor([0.1, 2.0, 0.7, 1.3])
    labels, mask = torch.tensor([[0, 1, 3], [2, -100, -100]]), torch.tensor([[1, 1, 1], [1, 0, 0]]).bool()
    mine = losses.negative_log_likelihood(list(logits), labels.tolist(), mask.tolist(), class_weights)
    torch.testing.assert_close(mine, F.cross_entropy(logits.flatten(0, 1), labels.flatten(), class_weights))


def test_mean_squared_error_divides_by_the_valid():
    predictions, targets = torch.randn(2, 3), torch.randn(2, 3)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    mine = losses.mean_squared_error(list(predictions), list(targets), mask.tolist())
    torch.testing.assert_close(mine, (predictions - targets)[mask].square().mean())
