"""Batch normalisation over what is there."""

import torch
from torch import nn

from mm_emotion.layers.normalization import MaskedBatchNorm


def test_padding_has_no_part_in_the_moments():
    torch.manual_seed(0)
    layer, plain = MaskedBatchNorm(3), nn.BatchNorm1d(3, eps=1e-3, momentum=0.01)
    x, mask = torch.randn(4, 5, 3), torch.rand(4, 5) < 0.6
    found = layer(x.masked_fill(~mask[..., None], 99.0), mask)
    torch.testing.assert_close(found[mask], plain(x[mask]))
    assert not found[~mask].any()
    torch.testing.assert_close(layer.running_var, plain.running_var)


def test_a_single_vector_is_normalised_by_the_moving_averages():
    layer = MaskedBatchNorm(3)
    layer.running_mean.fill_(2.0)
    x = torch.randn(1, 1, 3)
    expected = layer.eval()(x)
    found = layer.train()(x)
    torch.testing.assert_close(found, expected)
    assert (layer.running_mean == 2).all()
    found.sum().backward()
    assert layer.bias.grad.isfinite().all()
