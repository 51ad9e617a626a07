"""The scan's matrix products and nothing else: what a library of matrix products leaves to be gained.

A state must be there before the next one, so that each step multiplies the rows of the dialogues that run on. Gates,
attention, parties and dropout are left out; so is the gradient of the utterances, which nobody asks for.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def of_scan(sizes: tuple[int, int, int, int], lengths: Tensor, backward: bool, directions: int) -> Callable[[], object]:
    """A call that multiplies what a scan of `lengths` (B,) has to, on a CPU in float32, from random numbers."""
    (d, g, p, e), generator = sizes, torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) / 30

    running = [int((lengths > step).sum()) for step in range(int(lengths.max()))]
    rows = sum(running)
    recurrent = [random(p, 3 * g), random(g, 3 * g), random(g, 3 * p), random(p, 3 * p), random(e, 3 * e)]
    turned = [weight.T.contiguous() for weight in recurrent]
    at_once = [random(d, 4 * g + 3 * p), random(p, 3 * e)]  # need no state of the same network
    turned_party = at_once[1].T.contiguous()
    states = [random(running[0], len(weight)) for weight in recurrent]
    gates = [random(running[0], weight.shape[1]) for weight in recurrent]
    every_state = [random(rows, len(weight)) for weight in recurrent + at_once]
    every_gate = [random(rows, weight.shape[1]) for weight in recurrent + at_once]

    def one_direction() -> None:
        for given, weight in zip(every_state[-2:], at_once, strict=True):
            torch.mm(given, weight)
        for count in running:
            for state, weight in zip(states, recurrent, strict=True):
                torch.mm(state[:count], weight)
        if not backward:
            return
        torch.mm(every_gate[-1], turned_party)
        for count in reversed(running):
            for gate, weight in zip(gates, turned, strict=True):
                torch.mm(gate[:count], weight)
        for state, gate in zip(every_state, every_gate, strict=True):
            torch.mm(state.T, gate)

    def products() -> tuple[()]:
        for _ in range(directions):
            one_direction()
        return ()

    return products
