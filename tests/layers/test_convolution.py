"""Paddings and sizes of Keras, and steps that are not there."""

import pytest
import torch

from mm_emotion.layers.convolution import PictureConvolution, StepConvolution, convolved_size, same_padding


@pytest.mark.parametrize(
    ("size", "expected"),
    [(200, [100, 50, 25, 13, 7]), (165, [83, 42, 21, 11, 6]), (189, [95, 48, 24, 12, 6])],
)
def test_sizes_of_the_motion_capture_networks(size, expected):
    found = []
    for _ in expected:
        found.append(convolved_size(found[-1] if found else size, 3, 2, "same"))
    assert found == expected


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "zeros"),
    [
        (7, 3, 1, (1, 1)),
        (None, 4, 1, (1, 2)),
        (8, 3, 2, (0, 1)),
        (7, 3, 2, (1, 1)),
        (9, 1, 2, (0, 0)),
        (4, 2, 2, (0, 0)),
    ],
)
def test_zeros_around(size, kernel, stride, zeros):
    assert same_padding(size, kernel, stride) == zeros


def test_no_window_fits():
    assert convolved_size(3, 5, 1, "valid") == 0
    assert convolved_size(5, 5, 2, "valid") == 1


def test_picture_has_the_inferred_size():
    layer = PictureConvolution(1, 2, [3, 2], stride=2, padding="same", activation="relu")
    maps = layer(torch.randn(1, 1, 8, 5))
    assert maps.shape == (1, 2, convolved_size(8, 3, 2, "same"), convolved_size(5, 2, 2, "same"))
    assert (maps >= 0).all()


@pytest.mark.parametrize("stride", [1, 2])
def test_windows_beyond_the_end_of_a_sequence_do_not_count(stride):
    torch.manual_seed(0)
    layer = StepConvolution(3, 4, [3], stride=stride)
    x, lengths = torch.randn(4, 7, 3), [7, 4, 3, 2]
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    maps, kept = layer(x * mask[..., None], mask)
    for row, length in enumerate(lengths):
        alone, _ = layer(x[row : row + 1, :length], None)
        assert kept[row].sum() == alone.shape[1]
        torch.testing.assert_close(maps[row, kept[row]], alone[0])
