"""Ragged utterances for a backbone: their words behind those of earlier utterances."""

import torch
import torch.nn.functional as F
from torch import Tensor


def with_previous(
    ids: Tensor, mask: Tensor, turns: int, most: int, past: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The steps of each utterance behind those of the `turns` utterances before it, the last `most` of them.

    `ids` and `mask` are (B, U, T); `past` holds those (B, turns, T') of the utterances before the first. Returns ids,
    mask and which steps are the utterance's own, each (B, U, S), real steps first and in order.
    """
    if past is None:
        past = ids.new_zeros(len(ids), turns, 1), mask.new_zeros(len(mask), turns, 1)
    longest = max(ids.shape[2], past[0].shape[2])
    ids, mask = (
        torch.cat([F.pad(before, (0, longest - before.shape[2])), F.pad(now, (0, longest - now.shape[2]))], 1)
        for before, now in zip(past, (ids, mask), strict=True)
    )  # (B, turns + U, T)
    # Turn after turn along the last axis: (B, U, T, turns + 1) to (B, U, (turns + 1) T).
    ids, mask = (values.unfold(1, turns + 1, 1).transpose(2, 3).flatten(2) for values in (ids, mask))
    own = (torch.arange(mask.shape[2], device=mask.device) >= turns * longest) & mask
    behind = mask.flip(2).cumsum(2).flip(2)  # real steps from here to the end
    mask = mask & (behind <= most)
    order = (~mask).to(torch.uint8).argsort(dim=2, stable=True)[..., : int(mask.sum(2).max().clamp_min(1))]
    return ids.gather(2, order), mask.gather(2, order), (own & mask).gather(2, order)
