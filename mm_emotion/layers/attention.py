"""Attention over the states of a dialogue, in the five forms of the DialogueRNN family of papers."""

from typing import Literal

import torch
from torch import Tensor, nn

from mm_emotion.ops.masking import masked_softmax

AttentionKind = Literal["simple", "dot", "general", "general2", "concat"]


class MatchingAttention(nn.Module):
    """For each query the weighted mean of the memory; the score of memory m for query x is, by `kind`,

    simple: v.m, dot: x.m, general: (W x).m, general2: (W x + b).m, concat: v.tanh(W [m; x]).

    With `score_tanh` the scores pass a tanh before the softmax, as in the released bc-LSTM.
    """

    def __init__(
        self,
        memory_size: int,
        query_size: int,
        kind: AttentionKind = "general2",
        attention_size: int = 100,
        score_tanh: bool = False,
    ):
        super().__init__()
        self.kind, self.score_tanh = kind, score_tanh
        if kind in ("general", "general2"):
            self.transform = nn.Linear(query_size, memory_size, bias=kind == "general2")
        elif kind == "concat":
            self.transform = nn.Linear(memory_size + query_size, attention_size, bias=False)
        if kind in ("simple", "concat"):
            self.vector = nn.Linear(memory_size if kind == "simple" else attention_size, 1, bias=False)

    def queries(self, x: Tensor) -> Tensor:
        """What memory is multiplied with, for every kind but concat: (B, U, query_size) -> (B, U, memory_size)."""
        if self.kind == "simple":
            return self.vector.weight[0].expand(*x.shape[:-1], -1)
        return x if self.kind == "dot" else self.transform(x)

    def scores(self, memory: Tensor, x: Tensor) -> Tensor:
        """Scores (B, U, V) of memory (B, V, memory_size) for x (B, U, query_size)."""
        if self.kind != "concat":
            return self.queries(x) @ memory.mT
        of_memory, of_x = self.transform.weight.split([memory.shape[-1], x.shape[-1]], dim=1)
        hidden = torch.tanh((memory @ of_memory.mT)[:, None] + (x @ of_x.mT)[:, :, None])  # (B, U, V, A)
        return self.vector(hidden)[..., 0]

    def forward(self, memory: Tensor, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Means (B, U, memory_size) and weights (B, U, V); `mask` (B, V) is True on real memory."""
        scores = self.scores(memory, x)
        weights = masked_softmax(scores.tanh() if self.score_tanh else scores, mask[:, None])
        return weights @ memory, weights
