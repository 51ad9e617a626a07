"""What the memory networks share: the utterances before each one, the GRU that reads them, and reading by attention.

A window of K places holds the K utterances before the one that asks, the latest last; where the dialogue is younger
than that, the first places are empty.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.ops.masking import masked_softmax


def windows(values: Tensor, size: int) -> Tensor:
    """What the window of each utterance holds: (B, size + U, ...) -> (B, U, size, ...); the first `size` of `values`
    come before the first utterance, zeros or False where there was none."""
    return values.unfold(1, size, 1)[:, :-1].movedim(-1, 2)


def places(values: Tensor, size: int, real: Tensor) -> list[Tensor]:
    """What each place of the windows of the N utterances in `real` (B, U) holds: (B, size + U, ...) -> `size` times
    (N, ...)."""
    count = values.shape[1] - size
    dialogues, utterances = real.nonzero(as_tuple=True)
    rows = values.flatten(0, 1)
    first = dialogues * (count + size) + utterances  # (N,)
    return [rows[first + place] for place in range(size)]


def over_batch(values: Tensor, real: Tensor) -> Tensor:
    """Values (N, ...) of the utterances in `real` (B, U) where they stand in the batch, (B, U, ...), 0 on padding."""
    spread = values.new_zeros(*real.shape, *values.shape[1:])
    spread[real] = values
    return spread


class Past(NamedTuple):
    """U utterances of B dialogues behind the K before them: x (B, K+U, D), speakers and mask (B, K+U)."""

    x: Tensor
    speakers: Tensor
    mask: Tensor

    @classmethod
    def before(cls, x: Tensor, speakers: Tensor, mask: Tensor, size: int, past: dict[str, Tensor] | None) -> "Past":
        """With what `past` remembers in front, or with empty places."""
        if past is None:
            return cls(*(F.pad(part, (0, 0) * (part.ndim - 2) + (size, 0)) for part in (x, speakers, mask)))
        own = cls(x, speakers, mask)._asdict()
        return cls(*(torch.cat([past[name], part], 1) for name, part in own.items()))

    def remembered(self, size: int) -> dict[str, Tensor]:
        """What later utterances can still ask for."""
        return {name: part[:, -size:] for name, part in self._asdict().items()}


def over_dialogue(weights: Tensor) -> Tensor:
    """Weights of places as weights of utterances: (B, U, K) -> (B, U, U)."""
    dialogues, count, size = weights.shape
    steps = torch.arange(count, device=weights.device)[:, None] + torch.arange(
        -size, 0, device=weights.device
    )  # (U, K)
    # Empty places have no weight, so it does no harm that they all add to the first utterance.
    index = steps.clamp(min=0).expand(dialogues, -1, -1)
    return weights.new_zeros(dialogues, count, count).scatter_add(2, index, weights)


class WindowGRU(nn.Module):
    """A GRU over the places of a window, whose reset gate acts before the product; one bias, 1 for the gates at first.

    r, z = sigmoid(W_x x + W_h h + b), n = tanh(V_x x + V_h (r h) + c), h' = z h + (1 - z) n
    """

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.sizes = [input_size, hidden_size]
        self.gates = nn.Linear(input_size + hidden_size, 2 * hidden_size)
        self.candidate = nn.Linear(input_size + hidden_size, hidden_size)

    def reset_parameters(self) -> None:
        """Glorot uniform matrices."""
        for linear, bias in ((self.gates, 1.0), (self.candidate, 0.0)):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.constant_(linear.bias, bias)

    def read(self, x: Tensor) -> Tensor:
        """What the gates and the candidate make of an input: (..., D) -> (..., 3H)."""
        parts = [(linear.weight[:, : self.sizes[0]], linear.bias) for linear in (self.gates, self.candidate)]
        weight, bias = (torch.cat(part) for part in zip(*parts, strict=True))
        return F.linear(x, weight, bias)

    def forward(self, inputs: list[Tensor], kept: Tensor | None = None) -> list[Tensor]:
        """States (N, H) after each place, from a state of 0; `inputs` are what `read` made of what it holds.

        Where `kept` (N, K) is False the state stays as it is, and what is put out is 0.
        """
        width, size = self.sizes
        gates, candidate = self.gates.weight[:, width:], self.candidate.weight[:, width:]
        state = inputs[0].new_zeros(*inputs[0].shape[:-1], size)
        outputs = []
        for place, from_input in enumerate(inputs):
            of_gates, of_candidate = from_input.split([2 * size, size], -1)
            reset, update = torch.sigmoid(of_gates + F.linear(state, gates)).chunk(2, -1)
            new = torch.lerp(torch.tanh(of_candidate + F.linear(reset * state, candidate)), state, update)
            if kept is None:
                state = new
                outputs.append(state)
            else:
                here = kept[:, place, None]  # (N, 1)
                state = torch.where(here, new, state)
                outputs.append(state.masked_fill(~here, 0))
        return outputs


class Histories(nn.Module):
    """What the speaker said before, and what all others said, each read by a GRU of its own on the common clock.

    The papers have two parties; with more, the others share one history.
    """

    def __init__(self, input_size: int, hidden_size: int, window: int):
        super().__init__()
        self.window = window
        self.own, self.other = WindowGRU(input_size, hidden_size), WindowGRU(input_size, hidden_size)

    def forward(self, past: Past, real: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor, Tensor]:
        """For the N utterances in `real` (B, U): own and others' states, K times (N, H), 0 where the other side spoke,
        and who spoke in which place.

        The two masks are (N, K), both False in empty places.
        """
        spoken = windows(past.mask, self.window)[real]
        same = windows(past.speakers, self.window)[real] == past.speakers[:, self.window :][real][:, None]
        own, other = spoken & same, spoken & ~same
        return (
            self.own(places(self.own.read(past.x), self.window, real), own),
            self.other(places(self.other.read(past.x), self.window, real), other),
            own,
            other,
        )


def read_memory(
    query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, dropout: float = 0.0, score_tanh: bool = True
) -> tuple[Tensor, Tensor]:
    """What each query (..., H) finds, (..., H), and its weights (..., K).

    Values (..., K, H) weighted by the softmax of query.key, or of its tanh, over the places where `mask` (..., K) is
    True; nothing where there is none. `dropout` acts on the weights.
    """
    scores = (keys @ query[..., None])[..., 0]  # (..., K)
    weights = masked_softmax(scores.tanh() if score_tanh else scores, mask)
    weights = F.dropout(weights, dropout)
    return (weights[..., None, :] @ values)[..., 0, :], weights


class MemoryClassifier(nn.Linear):
    """The last layer of CMN and ICON, which starts near 0."""

    def reset_parameters(self) -> None:
        """Weights from N(0, 0.01), no bias."""
        nn.init.normal_(self.weight, std=0.01)
        nn.init.zeros_(self.bias)
