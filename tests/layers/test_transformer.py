"""The transformer block and what padding does to it."""

import torch

from mm_emotion.layers.transformer import MultiHeadAttention, TextTransformer

SIZES = {"vocab_size": 9, "size": 6, "max_length": 5, "heads": 2, "key_size": 3, "feedforward_size": 4, "dropout": 0.0}


def test_nothing_attends_to_a_masked_step():
    torch.manual_seed(0)
    layer, x = MultiHeadAttention(6, 2, 3), torch.randn(1, 4, 6)
    mask = torch.tensor([[True, True, False, False]])
    changed = x.clone()
    changed[:, 2:] = 7.0
    assert torch.equal(layer(x, mask)[:, :2], layer(changed, mask)[:, :2])
    torch.testing.assert_close(layer(x, mask)[:, :2], layer(x[:, :2], mask[:, :2]))


def test_the_mean_is_over_words_or_over_all_steps():
    torch.manual_seed(0)
    masked, unmasked = TextTransformer(**SIZES), TextTransformer(**SIZES, mask_padding=False)
    unmasked.load_state_dict(masked.state_dict())
    ids, mask = torch.tensor([[3, 5, 0, 0]]), torch.tensor([[True, True, False, False]])
    torch.testing.assert_close(masked(ids, mask), masked(ids[:, :2], None))
    torch.testing.assert_close(unmasked(ids, mask), masked(ids, None))
    assert not torch.allclose(unmasked(ids, mask), masked(ids, mask))


def test_an_utterance_without_words_is_zero_and_has_a_gradient():
    body = TextTransformer(**SIZES)
    pooled = body(torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.bool))
    assert not pooled.any()
    pooled.sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in body.parameters())


def test_positions_matter():
    body = TextTransformer(**SIZES)
    with torch.no_grad():
        body.positions.weight.normal_()
    assert not torch.allclose(body(torch.tensor([[3, 5]]), None), body(torch.tensor([[5, 3]]), None))
