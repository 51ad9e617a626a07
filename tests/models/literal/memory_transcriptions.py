"""The memory networks and the cLSTM written out literally: one dialogue, one utterance, one place at a time.

The conventions are those of `transcriptions`: float64, one dialogue, weights named as in `state_dict`. A history is a
list of `window` places, the latest utterance last, each an input (D,) and whether anybody spoke there.
"""

import torch
from torch import Tensor

from .transcriptions import Weights, bidirectional_lstm, head, linear, under

EMPTY = -10000.0
"""The score of a place where nobody spoke."""

Memory = list[Tensor]


def tensorflow_gru_cell(weights: Weights, inputs: Tensor, state: Tensor) -> Tensor:
    """The GRU with one bias whose reset gate acts before the product: gates in the order r, z over [x ; h].

    r = s(W_r [x ; h] + b_r), z likewise, n = tanh(W_n [x ; r h] + b_n), h' = z h + (1 - z) n.
    """
    gates = linear(under(weights, "gates"), torch.cat([inputs, state]))
    reset, update = (1 / (1 + torch.exp(-gates))).chunk(2)
    new = torch.tanh(linear(under(weights, "candidate"), torch.cat([inputs, reset * state])))
    return update * state + (1 - update) * new


def read_places(weights: Weights, places: Memory) -> Memory:
    """States after each place of a memory, empty places read like any other."""
    state = torch.zeros(weights["candidate.bias"].shape[0], dtype=torch.float64)
    states = []
    for place in places:
        state = tensorflow_gru_cell(weights, place, state)
        states.append(state)
    return states


def local_states(weights: Weights, places: Memory, spoke: list[bool]) -> Memory:
    """States after the places where this side spoke; elsewhere the state is kept and 0 is put out."""
    state = torch.zeros(weights["candidate.bias"].shape[0], dtype=torch.float64)
    states = []
    for place, here in zip(places, spoke, strict=True):
        if here:
            state = tensorflow_gru_cell(weights, place, state)
        states.append(state if here else torch.zeros_like(state))
    return states


def attend(scores: list[Tensor], filled: list[bool], values: Memory) -> Tensor:
    """sum_i p_i v_i: softmax with `EMPTY` for the score of an empty place, then 0 for its weight."""
    scores = [score if here else torch.full_like(score, EMPTY) for score, here in zip(scores, filled, strict=True)]
    largest = max(float(score.detach()) for score in scores)
    powers = [torch.exp(score - largest) for score in scores]
    total = sum(powers)
    read = torch.zeros_like(values[0])
    for power, here, value in zip(powers, filled, values, strict=True):
        read = read + power / total * float(here) * value
    return read


def history(step: int, window: int) -> list[int | None]:
    """Which utterance each place holds before `step`: the last place the one just before, None where there was none."""
    return [index if index >= 0 else None for index in range(step - window, step)]


def two_sides(
    utterances: Tensor, speaker_mask: Tensor, step: int, window: int
) -> tuple[tuple[Memory, list[bool]], tuple[Memory, list[bool]]]:
    """What the speaker of `step` and what all others said before it, on a common clock of `window` places."""
    speaker = speaker_mask[step].tolist().index(True)
    sides: tuple[tuple[Memory, list[bool]], tuple[Memory, list[bool]]] = ([], []), ([], [])
    zero = torch.zeros_like(utterances[0])
    for index in history(step, window):
        own = index is not None and bool(speaker_mask[index, speaker])
        other = index is not None and not own
        for (places, spoke), here in zip(sides, (own, other), strict=True):
            places.append(utterances[index] if here else zero)
            spoke.append(here)
    return sides


def memnet(weights: Weights, utterances: Tensor, *, window: int, hops: int) -> Tensor:
    """Logits (U, K); keys and values of the raw utterances before each one, scores without tanh."""
    rows = []
    for step, utterance in enumerate(utterances):
        query = torch.tanh(linear(under(weights, "query"), utterance))
        before = [index for index in history(step, window) if index is not None]
        for _ in range(hops):
            if not before:
                continue  # an empty history adds nothing
            keys = [linear(under(weights, "keys"), utterances[index]) for index in before]
            values = [linear(under(weights, "values"), utterances[index]) for index in before]
            query = query + attend([query @ key for key in keys], [True] * len(before), values)
        rows.append(linear(under(weights, "classifier"), query))
    return torch.stack(rows)


def cmn(weights: Weights, utterances: Tensor, speaker_mask: Tensor, *, window: int, hops: int) -> Tensor:
    """Logits (U, K) of a memory for each side; the memory GRU reads its local states anew at each hop."""
    rows = []
    for step, utterance in enumerate(utterances):
        query = torch.tanh(linear(under(weights, "query"), utterance))
        sides = two_sides(utterances, speaker_mask, step, window)
        filled = [any(spoke) for spoke in zip(*(spoke for _, spoke in sides), strict=True)]
        previous: list[Memory | None] = [None, None]
        for _ in range(hops):
            reads = []
            for side, (name, (places, spoke)) in enumerate(zip(("own", "other"), sides, strict=True)):
                local = local_states(under(weights, f"histories.{name}"), places, spoke)
                local = [torch.tanh(state) for state in local]
                states = read_places(under(weights, f"memories.{side}"), local)
                outputs = [state * float(here) for state, here in zip(states, spoke, strict=True)]
                keys = previous[side] or states  # unmasked at the first hop alone
                reads.append(attend([torch.tanh(query @ key) for key in keys], filled, outputs))
                previous[side] = outputs
            query = torch.tanh(query + reads[0] + reads[1])
        rows.append(linear(under(weights, "classifier"), query))
    return torch.stack(rows)


def icon(weights: Weights, utterances: Tensor, speaker_mask: Tensor, *, window: int, hops: int) -> Tensor:
    """Logits (U, K) of one memory of both sides, read anew by the memory GRU from the second hop on."""
    rows = []
    for step, utterance in enumerate(utterances):
        query = torch.tanh(linear(under(weights, "query"), utterance))
        sides = two_sides(utterances, speaker_mask, step, window)
        filled = [any(spoke) for spoke in zip(*(spoke for _, spoke in sides), strict=True)]
        own, other = (
            local_states(under(weights, f"histories.{name}"), places, spoke)
            for name, (places, spoke) in zip(("own", "other"), sides, strict=True)
        )
        memory = [torch.tanh(mine + theirs) for mine, theirs in zip(own, other, strict=True)]
        for hop in range(hops):
            states = read_places(under(weights, "memory_gru" if hop else "global_gru"), memory)
            memory = [state * float(here) for state, here in zip(states, filled, strict=True)]
            query = torch.tanh(query + attend([torch.tanh(query @ place) for place in memory], filled, memory))
        rows.append(linear(under(weights, "classifier"), query))
    return torch.stack(rows)


def clstm(weights: Weights, utterances: dict[str, Tensor]) -> Tensor:
    """Logits (U, K): `utterances` (U, D) of each modality in the order of the schema, whatever they hold is read."""
    found = []
    for name, rows in utterances.items():
        states = bidirectional_lstm(under(weights, f"unimodal_lstms.{name}"), rows, 1)
        found.append([torch.tanh(linear(under(weights, f"unimodal_dense.{name}"), state)) for state in states])
    side_by_side = torch.stack([torch.cat(features) for features in zip(*found, strict=True)])
    return head(weights, bidirectional_lstm(under(weights, "lstm"), side_by_side, 1), "relu")
