"""Recurrent networks of torch over ragged dialogues."""

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def run_packed(network: nn.RNNBase, x: Tensor, lengths: Tensor) -> Tensor:
    """States (B, U, H) of a batch-first network over the first `lengths` (B,) of x (B, U, D), 0 behind them."""
    # Packing takes its lengths on the host and none below 1; a dialogue without utterances reads one zero vector.
    packed = pack_padded_sequence(x, lengths.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(network(packed)[0], batch_first=True, total_length=x.shape[1])[0]
