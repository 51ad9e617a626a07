import torch
from torch import nn

from mm_emotion.layers.packing import run_packed


def test_each_dialogue_is_read_as_if_it_were_alone():
    torch.manual_seed(0)
    network, x = nn.LSTM(2, 3, batch_first=True, bidirectional=True), torch.randn(3, 4, 2)
    states = run_packed(network, x, torch.tensor([4, 2, 0]))
    torch.testing.assert_close(states[0], network(x[:1])[0][0])
    torch.testing.assert_close(states[1, :2], network(x[1:2, :2])[0][0])
    assert not states[1, 2:].any()
    assert states.shape == (3, 4, 6) and states.isfinite().all()
