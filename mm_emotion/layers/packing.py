"""Little padding: recurrent networks of torch over ragged dialogues, and any function over ragged utterances."""

from collections.abc import Callable, Sequence
from itertools import accumulate, groupby

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def run_packed(network: nn.RNNBase, x: Tensor, lengths: Tensor) -> Tensor:
    """States (B, U, H) of a batch-first network over the first `lengths` (B,) of x (B, U, D), 0 behind them."""
    # Packing takes its lengths on the host and none below 1; a dialogue without utterances reads one zero vector.
    packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(network(packed)[0], batch_first=True, total_length=x.shape[1])[0]


def by_length(
    function: Callable[..., Tensor],
    values: Sequence[Tensor],
    lengths: Tensor,
    at_once: int,
    least: int = 1,
    exactly: bool = False,
) -> Tensor:
    """`function` of `values`, each (N, T, ...), by parts of `at_once` rows of like length, as long as these: (N, ...).

    No part is cut below `least` steps, and with `exactly` its rows are of the very same length. `function` returns one
    result a row, which must not depend on what lies behind the row's length (`lengths`, (N,)) or on other rows.
    """
    order = lengths.argsort(stable=True)
    rising = lengths[order].tolist()  # the only wait for a device
    counts = [len(list(alike)) for _, alike in groupby(rising)] if exactly else [len(rising)]
    parts = [part for alike in order.split(counts) for part in alike.split(at_once)]
    found = []
    for part, end in zip(parts, accumulate(map(len, parts)), strict=True):
        longest = max(rising[end - 1], least)
        found.append(function(*(value[part, :longest] for value in values)))
    return torch.cat(found)[order.argsort()]
