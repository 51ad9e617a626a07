import torch

from mm_emotion.ops.masking import masked_softmax, reading_order


def test_masked_softmax_is_the_softmax_of_what_is_left():
    scores = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[True, False, True, True], [True, True, False, False]])
    weights = masked_softmax(scores, mask)
    assert torch.allclose(weights[0, [0, 2, 3]], scores[0, [0, 2, 3]].softmax(-1))
    assert not weights[~mask].any()


def test_masked_softmax_of_nothing_is_zero_with_finite_gradient():
    scores = torch.randn(1, 3, requires_grad=True)
    weights = masked_softmax(scores, torch.zeros(1, 3, dtype=torch.bool))
    weights.sum().backward()
    assert not weights.any()
    assert torch.equal(scores.grad, torch.zeros(1, 3))


def test_reading_order_reverses_the_valid_prefix_and_undoes_itself():
    lengths = torch.tensor([3, 0, 4])
    order = reading_order(lengths, 4, backward=True)
    assert order.tolist() == [[2, 1, 0, 3], [0, 1, 2, 3], [3, 2, 1, 0]]
    assert torch.equal(order.gather(1, order), torch.arange(4).expand(3, -1))
    assert torch.equal(reading_order(lengths, 4, backward=False), torch.arange(4).expand(3, -1))
