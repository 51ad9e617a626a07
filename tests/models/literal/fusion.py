"""Published fusions of modalities written out literally, one utterance at a time, as in `transcriptions`."""

import math

import torch
from torch import Tensor

from .transcriptions import Weights, linear, lstm_cell, softmax, under


def relu(vector: Tensor) -> Tensor:
    """max(0, x) of each value."""
    return torch.stack([value if value > 0 else value * 0 for value in vector])


def sigmoid(vector: Tensor) -> Tensor:
    return 1 / (1 + torch.exp(-vector))


def projection(weights: Weights, text: Tensor, speech: Tensor) -> Tensor:
    """Sebastian and Pierucci, Eq. 1: U = tanh(W_f [T; S] + b_f)."""
    together = [*text, *speech]
    rows = zip(weights["weight"], weights["bias"], strict=True)
    return torch.stack([torch.tanh(sum(w * x for w, x in zip(row, together, strict=True)) + b) for row, b in rows])


def average(posteriors: list[Tensor]) -> Tensor:
    """Eq. 2: the mean of the posteriors (K,)."""
    return torch.stack([sum(column) / len(posteriors) for column in zip(*posteriors, strict=True)])


def weighted(posteriors: list[Tensor], shares: list[float]) -> Tensor:
    """Eq. 3: w_1 P_1 + w_2 P_2 + .., the shares summing to 1."""
    columns = zip(*posteriors, strict=True)
    return torch.stack([sum(w * p for w, p in zip(shares, column, strict=True)) for column in columns])


def product(posteriors: list[Tensor], exclude_self: bool = False) -> Tensor:
    """Eq. 4: prod_m P_m(j) over the sum of that over the classes, with or without j itself."""
    products = [math.prod(column) for column in zip(*posteriors, strict=True)]
    sums = [
        sum(value for other, value in enumerate(products) if not (exclude_self and other == label))
        for label in range(len(products))
    ]
    return torch.stack([value / total for value, total in zip(products, sums, strict=True)])


def batch_norm(weights: Weights, vector: Tensor, epsilon: float) -> Tensor:
    """(x - mean) / sqrt(variance + epsilon) * gamma + beta, with the moving averages."""
    scaled = (vector - weights["running_mean"]) / torch.sqrt(weights["running_var"] + epsilon)
    return scaled * weights["weight"] + weights["bias"]


def vector_subnet(weights: Weights, vector: Tensor, epsilon: float) -> Tensor:
    """Batch norm and three dense layers with a relu each."""
    vector = batch_norm(under(weights, "norm"), vector, epsilon)
    for layer in range(3):
        vector = relu(linear(under(weights, f"layers.{layer}"), vector))
    return vector


def sequence_subnet(weights: Weights, steps: Tensor) -> Tensor:
    """The last state of an LSTM over the steps (T, D), then one linear layer."""
    cell = {name: weights[f"lstm.{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    state = memory = torch.zeros(cell["weight_hh"].shape[1], dtype=torch.float64)
    for step in steps:
        state, memory = lstm_cell(cell, step, state, memory)
    return linear(under(weights, "linear"), state)


def tensor_fusion(weights: Weights, factors: list[Tensor]) -> Tensor:
    """One output per cell sum of W[i, j, k] * [1; a]_i * [1; b]_j * [1; c]_k, plus the bias."""
    factors = [[1.0, *factor] for factor in factors]
    total = weights["bias"]
    if len(factors) == 2:
        factors = [*factors, [1.0]]
    weight = weights["weight"] if weights["weight"].dim() == 4 else weights["weight"][:, :, None]
    for i, first in enumerate(factors[0]):
        for j, second in enumerate(factors[1]):
            for k, third in enumerate(factors[2]):
                total = total + weight[i, j, k] * (first * second * third)
    return total


def tfn(weights: Weights, vectors: dict[str, Tensor], sequence: str | None, epsilon: float) -> tuple[Tensor, Tensor]:
    """Hidden state and logits of one utterance; `vectors` in the order of the weight's axes."""
    factors = []
    for name, values in vectors.items():
        subnet = under(weights, f"subnets.{name}")
        factors.append(sequence_subnet(subnet, values) if name == sequence else vector_subnet(subnet, values, epsilon))
    hidden = relu(tensor_fusion(under(weights, "fusion"), factors))
    hidden = relu(linear(under(weights, "dense"), hidden))
    return hidden, linear(under(weights, "classifier"), hidden)


def _network(weights: Weights, vector: Tensor) -> Tensor:
    """W2 relu(W1 x + b1) + b2; dropout stands between them in training."""
    return linear(under(weights, "3"), relu(linear(under(weights, "0"), vector)))


def mfn(weights: Weights, sequences: dict[str, Tensor]) -> Tensor:
    """Logits of one utterance of aligned sequences (T, D), in the order of the states."""
    cells = {name: under(weights, f"cells.{name}") for name in sequences}
    hidden = {name: torch.zeros(cell["weight_hh"].shape[1], dtype=torch.float64) for name, cell in cells.items()}
    memory = dict(hidden)
    fused = torch.zeros(weights["proposal.3.bias"].shape[0], dtype=torch.float64)
    for step in range(len(next(iter(sequences.values())))):
        before = torch.cat(list(memory.values()))
        for name, sequence in sequences.items():
            hidden[name], memory[name] = lstm_cell(cells[name], sequence[step], hidden[name], memory[name])
        window = torch.cat([before, *memory.values()])
        shares = torch.stack(softmax(list(_network(under(weights, "attention"), window))))
        attended = shares * window
        proposed = torch.tanh(_network(under(weights, "proposal"), attended))
        both = torch.cat([attended, fused])
        keep, let_in = (sigmoid(_network(under(weights, gate), both)) for gate in ("retain", "update"))
        fused = keep * fused + let_in * proposed
    scores = relu(linear(under(weights, "dense"), torch.cat([*hidden.values(), fused])))
    return linear(under(weights, "classifier"), scores)
