"""The transformer block over the words of an utterance, post-norm, and a body that makes one vector of them."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import init

from mm_emotion.ops.masking import masked_softmax


class MultiHeadAttention(nn.Module):
    """Attention of every step to all steps: queries, keys and values of `heads` x `key_size`, all with biases."""

    def __init__(self, size: int, heads: int, key_size: int):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (nn.Linear(size, heads * key_size) for _ in range(3))
        self.output = nn.Linear(heads * key_size, size)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Attended states (N, T, E) of x (N, T, E); nothing attends to a step that is False in `mask` (N, T)."""
        query, key, value = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )  # (N, heads, T, key_size)
        scores = query @ key.mT * query.shape[-1] ** -0.5  # (N, heads, T, T)
        attended = masked_softmax(scores, mask[:, None, None]) @ value
        return self.output(attended.transpose(1, 2).flatten(2))


class TransformerBlock(nn.Module):
    """x1 = norm(x + dropout(attention(x))), x2 = norm(x1 + dropout(outer(relu(inner(x1)))))."""

    def __init__(
        self, size: int, heads: int, key_size: int, feedforward_size: int, dropout: float, epsilon: float = 1e-6
    ):
        super().__init__()
        self.dropout = dropout
        self.attention = MultiHeadAttention(size, heads, key_size)
        self.attention_norm = nn.LayerNorm(size, eps=epsilon)
        self.inner = nn.Linear(size, feedforward_size)
        self.outer = nn.Linear(feedforward_size, size)
        self.feedforward_norm = nn.LayerNorm(size, eps=epsilon)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """States (N, T, E) of x (N, T, E)."""
        attended = F.dropout(self.attention(x, mask), self.dropout, self.training)
        x = self.attention_norm(x + attended)
        return self.feedforward_norm(x + F.dropout(self.outer(F.relu(self.inner(x))), self.dropout, self.training))


class LearnedPositions(nn.Module):
    """A vector for each of the first `length` positions, uniform in ±0.05 at the start."""

    def __init__(self, length: int, size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(length, size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        init.uniform_(self.weight, -0.05, 0.05)

    def forward(self, steps: int) -> Tensor:
        """The first `steps` vectors, (T, E)."""
        return self.weight[:steps]


class TextTransformer(nn.Module):
    """Words and their positions embedded, one transformer block, and the mean over the steps: ids (N, T) to (N, E).

    With `mask_padding` off the mask is ignored: every step is attended to and enters the mean, padding included.
    """

    def __init__(
        self,
        vocab_size: int,
        size: int,
        max_length: int,
        heads: int,
        key_size: int,
        feedforward_size: int,
        dropout: float,
        epsilon: float = 1e-6,
        mask_padding: bool = True,
    ):
        super().__init__()
        self.mask_padding = mask_padding
        self.embedding = nn.Embedding(vocab_size, size)
        self.positions = LearnedPositions(max_length, size)
        self.block = TransformerBlock(size, heads, key_size, feedforward_size, dropout, epsilon)

    def forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        if mask is None or not self.mask_padding:
            mask = torch.ones_like(ids, dtype=torch.bool)
        x = self.block(self.embedding(ids) + self.positions(ids.shape[1]), mask)  # (N, T, E)
        steps = mask.sum(1, keepdim=True).clamp(min=1)  # (N, 1)
        return (x * mask[..., None]).sum(1) / steps
