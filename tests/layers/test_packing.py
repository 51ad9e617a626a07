import pytest
import torch
from torch import nn

from mm_emotion.layers.packing import by_length, run_packed


def test_each_dialogue_is_read_as_if_it_were_alone():
    torch.manual_seed(0)
    network, x = nn.LSTM(2, 3, batch_first=True, bidirectional=True), torch.randn(3, 4, 2)
    states = run_packed(network, x, torch.tensor([4, 2, 0]))
    torch.testing.assert_close(states[0], network(x[:1])[0][0])
    torch.testing.assert_close(states[1, :2], network(x[1:2, :2])[0][0])
    assert not states[1, 2:].any()
    assert states.shape == (3, 4, 6) and states.isfinite().all()


@pytest.mark.parametrize("exactly", [False, True])
def test_rows_of_like_length_are_read_together_and_come_back_in_their_order(exactly):
    lengths = torch.randint(1, 5, (25,), generator=torch.Generator().manual_seed(0))
    values, places = torch.randn(25, 9), torch.arange(9).expand(25, 9)
    seen = []

    def total(part, place):
        rows = (values[:, : part.shape[1]] == part[:, None]).all(2).nonzero()[:, 1]
        seen.append(lengths[rows])
        assert part.shape[1] == max(2, lengths[rows].max()) and torch.equal(place[0], torch.arange(part.shape[1]))
        return torch.stack([row[:length].sum() for row, length in zip(part, lengths[rows], strict=True)])

    found = by_length(total, (values, places), lengths, at_once=4, least=2, exactly=exactly)
    torch.testing.assert_close(found, torch.stack([row[:n].sum() for row, n in zip(values, lengths, strict=True)]))
    assert max(map(len, seen)) == 4
    assert torch.cat(seen).diff().min() >= 0
    assert all(len(part.unique()) == 1 for part in seen) == exactly
