import torch

from mm_emotion.layers.fusion import concatenate, outer_product


def test_order_is_that_of_the_schema_whatever_the_mapping():
    text, audio, mocap = (torch.full((1, 2, width), float(width)) for width in (2, 3, 1))
    joined = concatenate({"mocap": mocap, "audio": audio, "text": text})
    assert joined[0, 0].tolist() == [2, 2, 3, 3, 3, 1]


def test_outer_product_holds_every_product_with_the_ones_first_and_the_last_fastest():
    first, second, third = torch.tensor([2.0, 3.0]), torch.tensor([5.0]), torch.tensor([7.0, 11.0])
    expected = [a * b * c for a in (1, 2, 3) for b in (1, 5) for c in (1, 7, 11)]
    assert outer_product([first, second, third]).tolist() == expected
    assert outer_product([first[None, None], second[None, None]]).shape == (1, 1, 6)
