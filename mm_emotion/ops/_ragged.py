"""How a ragged batch is walked step by step: which dialogues run at each step, and where their rows lie.

Rows of all steps are packed one after the other, N in all. Dialogues are sorted by length, longest first, so that a
step touches only those still running. This needs the lengths on the host, so where that would cost a device sync all
dialogues run to the end, and padded rows are kept apart instead.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mm_emotion.ops.masking import reading_order


@dataclass(frozen=True)
class Plan:
    """What both directions share: `sizes[t]` dialogues run at step t, whose first packed row is `offsets[t]`."""

    sizes: list[int]
    offsets: list[int]
    steps: int  # U of the caller; len(sizes) may be less
    parties: int
    dialogues: Tensor  # (B,) which dialogue each row is
    step_of: Tensor  # (N,) of each packed row
    row_of: Tensor  # (N,)
    real: Tensor | None  # (N, 1) where padded rows are walked too

    def slices(self) -> list[tuple[int, int, slice]]:
        """Step, number of rows, and their place among the packed rows."""
        return [(t, n, slice(o, o + n)) for t, (n, o) in enumerate(zip(self.sizes, self.offsets, strict=True))]


def make_plan(lengths: Tensor, steps: int, parties: int, shrink: bool) -> Plan:
    """The plan for dialogues of `lengths` (B,) out of `steps`; `shrink` leaves dialogues out once they have ended."""
    count, device = len(lengths), lengths.device
    if shrink:
        dialogues = torch.argsort(lengths, descending=True, stable=True)
        running = (lengths > torch.arange(steps, device=device)[:, None]).sum(1)  # (U,)
        sizes = running[running > 0].tolist()
    else:
        dialogues, sizes = torch.arange(count, device=device), [count] * steps
    offsets = [sum(sizes[:t]) for t in range(len(sizes))]
    all_steps, repeats = torch.arange(len(sizes), device=device), torch.tensor(sizes, dtype=torch.int64, device=device)
    step_of = torch.repeat_interleave(all_steps, repeats, output_size=sum(sizes))
    starts = torch.tensor(offsets, dtype=torch.int64, device=device)
    row_of = torch.arange(sum(sizes), device=device) - starts[step_of]
    real = None if shrink else (step_of < lengths[dialogues][row_of])[:, None]
    return Plan(sizes, offsets, steps, parties, dialogues, step_of, row_of, real)


class Walk:
    """One direction of a plan: where each packed row is read and written in the caller's tensors."""

    def __init__(self, plan: Plan, backward: bool, lengths: Tensor, speakers: Tensor):
        self.plan = plan
        ends, steps = lengths[plan.dialogues], torch.arange(len(plan.sizes), device=lengths.device)
        self.order = reading_order(ends, plan.steps, backward)[:, : len(plan.sizes)]  # (B, T)
        self.padding = steps >= ends[:, None]  # (B, T)
        self.places = plan.dialogues[:, None] * plan.steps + self.order  # (B, T) into the flat (B * U)
        self.rows = self.places[plan.row_of, plan.step_of]  # (N,)
        party = speakers.flatten()[self.rows]
        if plan.real is not None:
            # Padding has a party of its own, so that no state has to be guarded.
            party = torch.where(plan.real[:, 0], party, plan.parties)
        self.parties = plan.row_of * (plan.parties + 1) + party  # (N,) into the flat (B * (Q+1))

    def pack(self, values: Tensor) -> Tensor:
        """(B, U, D) -> (N, D), 0 on padding."""
        packed = values.flatten(0, 1).index_select(0, self.rows)
        return packed if self.plan.real is None else packed.masked_fill_(~self.plan.real, 0)

    def spread(self, values: Tensor) -> Tensor:
        """(B, U, D) -> (B, T, D) in the order of walking, 0 on padding."""
        return values.flatten(0, 1)[self.places].masked_fill_(self.padding[..., None], 0)

    def unpack(self, packed: Tensor, out: Tensor) -> Tensor:
        """Write (N, D) into the zeros of `out` (B, U, D), and return it."""
        if self.plan.real is not None:
            packed = packed.masked_fill(~self.plan.real, 0)
        out.view(-1, out.shape[-1]).index_copy_(0, self.rows, packed)
        return out

    def previous(self, t: int) -> slice:
        """Packed rows of step t - 1 that go on at step t; t >= 1."""
        return slice(self.plan.offsets[t - 1], self.plan.offsets[t - 1] + self.plan.sizes[t])
