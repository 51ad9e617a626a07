"""Other ways to the same recurrence, or to one of as many multiply-adds: plain steps to compile, and three GRUs."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

UNUSED = 2  # states before the first one: a history that is never shorter keeps one compiled step valid for all


def step(
    x_g: Tensor, x_p: Tensor, query: Tensor, speaker: Tensor,
    g: Tensor, party: Tensor, e: Tensor, history: Tensor, weights: list[Tensor],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """One utterance of all dialogues, vectorised: (B, 3G), (B, 3P), (B, G), (B,), states before -> states after."""
    w_gq, w_gh, b_gh, w_pc, w_pq, b_ph, w_eq, b_ei, w_eh, b_eh = weights
    place = speaker[:, None, None].expand(-1, 1, party.shape[2])  # (B, 1, P)
    q = party.gather(1, place)[:, 0]
    new_g = gru(x_g + q @ w_gq.T, g @ w_gh.T + b_gh, g)
    used = torch.arange(history.shape[1], device=history.device) >= UNUSED
    scores = (history @ query[..., None])[..., 0].masked_fill(~used, torch.finfo(g.dtype).min)  # (B, V)
    context = (scores.softmax(-1)[:, None] @ history)[:, 0]
    q = gru(x_p + context @ w_pc.T, q @ w_pq.T + b_ph, q)
    e = gru(q @ w_eq.T + b_ei, e @ w_eh.T + b_eh, e)
    return new_g, party.scatter(1, place, q[:, None]), e, torch.cat([history, new_g[:, None]], 1)


def gru(from_input: Tensor, from_state: Tensor, state: Tensor) -> Tensor:
    """torch.nn.GRUCell after its two matrix products."""
    i_r, i_z, i_n = from_input.chunk(3, -1)
    h_r, h_z, h_n = from_state.chunk(3, -1)
    return torch.lerp(torch.tanh(i_n + torch.sigmoid(i_r + h_r) * h_n), state, torch.sigmoid(i_z + h_z))


def stepwise(step: Callable, inputs: Tensor, queries: Tensor, speakers: Tensor, weights: list[Tensor], parties: int):
    """Emotion states (B, U, E) of one direction by `step`; padding is computed like anything else."""
    g_size, p_size, e_size = (weights[index].shape[1] for index in (1, 4, 8))
    x_g, x_p = inputs.split([3 * g_size, 3 * p_size], -1)
    batch, steps, _ = inputs.shape
    # With a gradient from the first step on, or that step would be compiled apart.
    like = {"dtype": inputs.dtype, "device": inputs.device, "requires_grad": inputs.requires_grad}
    g, party = torch.zeros(batch, g_size, **like), torch.zeros(batch, parties, p_size, **like)
    e, history = torch.zeros(batch, e_size, **like), torch.zeros(batch, UNUSED, g_size, **like)
    emotions = []
    for t in range(steps):
        torch._dynamo.mark_dynamic(history, 1)
        states = g, party, e, history
        g, party, e, history = step(x_g[:, t], x_p[:, t], queries[:, t], speakers[:, t], *states, weights)
        emotions.append(e)
    return torch.stack(emotions, 1)


class ThreeGRUs(nn.Module):
    """Plain GRUs of the same matrix products; no attention, no parties: less work than the scan."""

    def __init__(self, d: int, g: int, p: int, e: int, directions: int = 1):
        super().__init__()
        sizes, both = ((d + p, g), (d + g, p), (p, e)), directions == 2
        self.layers = nn.ModuleList(nn.GRU(*size, batch_first=True, bidirectional=both) for size in sizes)
        self.g, self.p = g, p

    def forward(self, utterances: Tensor) -> Tensor:
        # Of two directions each layer reads the first alone, as wide as what a direction of the scan reads.
        first = self.layers[0](F.pad(utterances, (0, self.p)))[0][..., : self.g]
        second = self.layers[1](torch.cat([utterances, first], -1))[0][..., : self.p]
        return self.layers[2](second)[0]
