import torch

from mm_emotion.layers.fusion import concatenate


def test_order_is_that_of_the_schema_whatever_the_mapping():
    text, audio, mocap = (torch.full((1, 2, width), float(width)) for width in (2, 3, 1))
    joined = concatenate({"mocap": mocap, "audio": audio, "text": text})
    assert joined[0, 0].tolist() == [2, 2, 3, 3, 3, 1]
