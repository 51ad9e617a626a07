"""Recurrent layers over the steps of an utterance: an LSTM with one bias, an attention decoder, either way round."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import init

from mm_emotion.ops.masking import masked_softmax, reading_order


class OneBiasLSTM(nn.LSTM):
    """One LSTM layer, one way, whose second bias is a buffer of zeros, as Keras counts and trains it.

    `dropout` acts on the inputs and `recurrent_dropout` on the states; as in Keras each gate has masks of its own, the
    same at every step. The steps are then taken one by one, in training alone.
    """

    def __init__(self, input_size: int, hidden_size: int, dropout: float = 0.0, recurrent_dropout: float = 0.0):
        super().__init__(input_size, hidden_size, batch_first=True)
        self.input_dropout, self.recurrent_dropout = dropout, recurrent_dropout
        del self.bias_hh_l0
        self.register_buffer("bias_hh_l0", torch.zeros_like(self.bias_ih_l0))
        self._init_flat_weights()

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """States (N, T, H) of x (N, T, D); reading from left to right, they owe nothing to padding on the right."""
        if self.training and (self.input_dropout > 0 or self.recurrent_dropout > 0):
            return self._dropped(x)
        return super().forward(x)[0]

    def _dropped(self, x: Tensor) -> Tensor:
        count, size = len(x), self.hidden_size
        kept = F.dropout(x.new_ones(4, count, 1, x.shape[2]), self.input_dropout)  # (4, N, 1, D)
        kernels = self.weight_ih_l0.unflatten(0, (4, size)).mT[:, None]  # (4, 1, D, H)
        entering = (x * kept) @ kernels + self.bias_ih_l0.view(4, 1, 1, size)  # (4, N, T, H)
        kept = F.dropout(x.new_ones(4, count, size), self.recurrent_dropout)  # (4, N, H)
        recurrent = self.weight_hh_l0.unflatten(0, (4, size)).mT  # (4, H, H)
        state = memory = entering.new_zeros(count, size)
        states = []
        for step in entering.unbind(2):  # (4, N, H)
            enter, forget, candidate, leave = step + (state * kept) @ recurrent
            memory = forget.sigmoid() * memory + enter.sigmoid() * candidate.tanh()
            state = leave.sigmoid() * memory.tanh()
            states.append(state)
        return torch.stack(states, 1)


class AttentionDecoder(nn.Module):
    """A gated decoder that emits one distribution y_t (M,) for each step of x_1 .. x_T (D,).

    s_0 = tanh(W_s x_1), y_0 = 0; at each step, from the state s and the output y of the step before,
    a = softmax_i(v.tanh(W_a s + U_a x_i + b_a)), c = sum_i a_i x_i
    r = sigmoid(W_r y + U_r s + C_r c + b_r), z likewise, p = tanh(W_p y + U_p (r s) + C_p c + b_p)
    s' = (1 - z) s + z p, y' = softmax(W_o y + U_o s + C_o c + b_o), with the old s.
    The step's own input is used through the attention alone. The softmax over the inputs is the stable form of the
    original's bare exponentials.
    """

    def __init__(self, input_size: int, units: int, output_size: int):
        super().__init__()
        self.units, self.output_size = units, output_size
        shapes = {
            "initial": (units, input_size),
            "score": (units,),
            "score_state": (units, units),
            "score_input": (units, input_size),
            "score_bias": (units,),
        }
        for gate, size in (("reset", units), ("update", units), ("proposal", units), ("output", output_size)):
            shapes |= {
                f"{gate}_output": (size, output_size),
                f"{gate}_state": (size, units),
                f"{gate}_context": (size, input_size),
                f"{gate}_bias": (size,),
            }
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Biases 0, the attention Glorot uniform, the matrices of state, gates and output orthogonal."""
        for name, parameter in self.named_parameters(recurse=False):
            if name.endswith("_bias"):
                init.zeros_(parameter)
            elif name == "score":
                bound = (3 / self.units**0.5) ** 0.5  # both fans of a bare vector are the root of its size
                init.uniform_(parameter, -bound, bound)
            elif name.startswith("score"):
                init.xavier_uniform_(parameter)
            else:
                init.orthogonal_(parameter)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Outputs (N, T, M) of x (N, T, D); steps that are False in `mask` (N, T) are never attended to."""
        mask = torch.ones_like(x[..., 0], dtype=torch.bool) if mask is None else mask
        keys = F.linear(x, self.score_input, self.score_bias)  # (N, T, U)
        gates, biases = self._joined("reset", "update", "output")
        proposal, proposal_bias = self._joined("proposal")
        sizes = [self.units, self.units, self.output_size]
        state = torch.tanh(F.linear(x[:, 0], self.initial))  # (N, U)
        output = state.new_zeros(len(x), self.output_size)
        outputs = []
        for _ in range(x.shape[1]):
            scores = torch.tanh(F.linear(state, self.score_state)[:, None] + keys) @ self.score  # (N, T)
            context = (masked_softmax(scores, mask)[:, None] @ x)[:, 0]  # (N, D)
            moved = F.linear(torch.cat([output, state, context], -1), gates, biases)
            reset, update, emitted = moved.split(sizes, -1)
            proposed = F.linear(torch.cat([output, reset.sigmoid() * state, context], -1), proposal, proposal_bias)
            update, output = update.sigmoid(), emitted.softmax(-1)
            state = (1 - update) * state + update * proposed.tanh()
            outputs.append(output)
        return torch.stack(outputs, 1)

    def _joined(self, *names: str) -> tuple[Tensor, Tensor]:
        """Weights of some gates as one matrix over [output; state; context], and their biases."""
        rows = [
            torch.cat([getattr(self, f"{name}_{part}") for part in ("output", "state", "context")], 1) for name in names
        ]
        return torch.cat(rows), torch.cat([getattr(self, f"{name}_bias") for name in names])


class BothWays(nn.Module):
    """Two layers over the same steps, the second from the last real step to the first; their outputs side by side."""

    def __init__(self, ahead: nn.Module, back: nn.Module):
        super().__init__()
        self.ahead, self.back = ahead, back

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Outputs (N, T, 2 H) of x (N, T, D) in the order of the steps; `mask` (N, T) is True on real ones."""
        lengths = torch.full((len(x),), x.shape[1], device=x.device) if mask is None else mask.sum(1)
        order = reading_order(lengths, x.shape[1], backward=True)[..., None]  # (N, T, 1)
        back = self.back(x.take_along_dim(order, 1), mask)
        return torch.cat([self.ahead(x, mask), back.take_along_dim(order, 1)], -1)
