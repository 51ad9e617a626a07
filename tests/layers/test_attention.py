import math

import pytest
import torch

from mm_emotion.layers.attention import MatchingAttention

KINDS = ["simple", "dot", "general", "general2", "concat"]


def build(kind, memory_size=4, query_size=4, **options):
    torch.manual_seed(0)
    return MatchingAttention(memory_size, query_size, kind, attention_size=3, **options)


def score(attention, m, x):
    """The score of one memory for one query, written out."""
    if attention.kind == "simple":
        return attention.vector.weight[0] @ m
    if attention.kind == "dot":
        return x @ m
    if attention.kind == "concat":
        return attention.vector.weight[0] @ torch.tanh(attention.transform.weight @ torch.cat([m, x]))
    return (attention.transform.weight @ x + (attention.transform.bias if attention.kind == "general2" else 0)) @ m


@pytest.mark.parametrize("score_tanh", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_its_formula_over_what_is_real(kind, score_tanh):
    attention = build(kind, score_tanh=score_tanh)
    memory, x = torch.randn(2, 5, 4), torch.randn(2, 3, 4)
    mask = torch.arange(5) < torch.tensor([5, 2])[:, None]
    mean, weights = attention(memory, x, mask)
    for b in range(2):
        for u in range(3):
            scores = [score(attention, memory[b, v], x[b, u]).item() for v in range(int(mask[b].sum()))]
            powers = [math.exp(math.tanh(value) if score_tanh else value) for value in scores]
            expected = torch.tensor([power / sum(powers) for power in powers] + [0.0] * (5 - len(powers)))
            torch.testing.assert_close(weights[b, u], expected)
            torch.testing.assert_close(mean[b, u], expected @ memory[b])


@pytest.mark.parametrize("kind", ["general", "general2", "concat", "simple"])
def test_memory_and_query_may_differ_in_width(kind):
    mean, weights = build(kind, 4, 6)(torch.randn(1, 5, 4), torch.randn(1, 3, 6), torch.ones(1, 5, dtype=torch.bool))
    assert mean.shape == (1, 3, 4)
    assert weights.shape == (1, 3, 5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_of_the_memory_is_never_read(kind):
    attention = build(kind)
    memory, x = torch.randn(1, 4, 4), torch.randn(1, 2, 4)
    mask = torch.tensor([[True, True, False, False]])
    before, _ = attention(memory, x, mask)
    memory[0, 2:] = 100.0
    after, weights = attention(memory, x, mask)
    assert torch.equal(before, after)
    assert not weights[..., 2:].any()


def test_an_empty_memory_gives_zero():
    mean, weights = build("general2")(torch.randn(1, 4, 4), torch.randn(1, 2, 4), torch.zeros(1, 4, dtype=torch.bool))
    assert not mean.any()
    assert not weights.any()
