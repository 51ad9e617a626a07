"""Published equations written out literally: one dialogue, one step, one party, one tensor at a time.

Nothing here is batched and nothing is fast: these functions are the truth the models are compared with. Weights are
plain dictionaries with the names of `state_dict`; `under` opens one level of them. Every tensor is float64 and belongs
to one dialogue: utterances (U, D), speaker_mask (U, P), utterance_mask (U,).
"""

import torch
from torch import Tensor

Weights = dict[str, Tensor]


def under(weights: Weights, prefix: str) -> Weights:
    """The weights whose names start with `prefix` and a dot, without both."""
    return {name.removeprefix(f"{prefix}."): value for name, value in weights.items() if name.startswith(f"{prefix}.")}


def linear(weights: Weights, vector: Tensor) -> Tensor:
    """W x + b of one vector (D,), or W x where there is no bias."""
    product = weights["weight"] @ vector
    return product + weights["bias"] if "bias" in weights else product


def softmax(scores: list[Tensor]) -> list[Tensor]:
    """exp(score_i) / sum_j exp(score_j) of scalars."""
    powers = [torch.exp(score) for score in scores]
    return [power / sum(powers) for power in powers]


def weighted_sum(weights: list[Tensor], vectors: list[Tensor]) -> Tensor:
    """sum_i a_i v_i."""
    return sum(weight * vector for weight, vector in zip(weights, vectors, strict=True))


def gru_cell(weights: Weights, inputs: Tensor, state: Tensor) -> Tensor:
    """The GRU with two biases whose reset gate acts after the product: gates in the order r, z, n.

    r = s(W_ir x + b_ir + W_hr h + b_hr), z likewise, n = tanh(W_in x + b_in + r (W_hn h + b_hn)), h' = (1 - z) n + z h.
    """
    input_reset, input_update, input_new = (weights["weight_ih"] @ inputs + weights["bias_ih"]).chunk(3)
    state_reset, state_update, state_new = (weights["weight_hh"] @ state + weights["bias_hh"]).chunk(3)
    reset = 1 / (1 + torch.exp(-(input_reset + state_reset)))
    update = 1 / (1 + torch.exp(-(input_update + state_update)))
    new = torch.tanh(input_new + reset * state_new)
    return (1 - update) * new + update * state


def lstm_cell(weights: Weights, inputs: Tensor, state: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
    """The LSTM, gates in the order i, f, g, o: c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c')."""
    gates = weights["weight_ih"] @ inputs + weights["bias_ih"] + weights["weight_hh"] @ state + weights["bias_hh"]
    enter, forget, candidate, leave = gates.chunk(4)
    memory = memory / (1 + torch.exp(-forget)) + torch.tanh(candidate) / (1 + torch.exp(-enter))
    return torch.tanh(memory) / (1 + torch.exp(-leave)), memory


def lstm_direction(weights: Weights, inputs: list[Tensor], backward: bool) -> list[Tensor]:
    """States of one LSTM direction, h_0 = c_0 = 0; the backward one reads from the last input to the first."""
    size = weights["weight_hh"].shape[1]
    state = memory = torch.zeros(size, dtype=torch.float64)
    states = [state] * len(inputs)
    for step in reversed(range(len(inputs))) if backward else range(len(inputs)):
        state, memory = lstm_cell(weights, inputs[step], state, memory)
        states[step] = state
    return states


def bidirectional_lstm(weights: Weights, utterances: Tensor, layers: int) -> list[Tensor]:
    """Stacked LSTM; each layer reads [forward ; backward] of the layer below."""
    outputs = list(utterances)
    for layer in range(layers):
        directions = []
        for suffix in ("", "_reverse"):
            names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            cell = {name: weights[f"{name}_l{layer}{suffix}"] for name in names}
            directions.append(lstm_direction(cell, outputs, backward=suffix == "_reverse"))
        outputs = [torch.cat(pair) for pair in zip(*directions, strict=True)]
    return outputs


def context_attention(kind: str, weights: Weights, history: list[Tensor], utterance: Tensor) -> Tensor:
    """c_t = sum_i a_i g_i over a non-empty history g_1 .. g_{t-1}, a = softmax of the scores of `kind`."""
    scores = []
    for state in history:
        if kind == "simple":
            score = (weights["vector.weight"] @ state).squeeze(0)
        elif kind == "dot":
            score = state @ utterance
        elif kind in ("general", "general2"):  # only general2 has the bias; its mask is all ones here
            score = state @ linear(under(weights, "transform"), utterance)
        elif kind == "concat":
            mixed = torch.tanh(linear(under(weights, "transform"), torch.cat([state, utterance])))
            score = (weights["vector.weight"] @ mixed).squeeze(0)
        else:
            raise ValueError(kind)
        scores.append(score)
    return weighted_sum(softmax(scores), history)


def matching_attention(
    weights: Weights, states: list[Tensor], utterance_mask: Tensor, score_tanh: bool
) -> tuple[list[Tensor], list[list[Tensor]]]:
    """general2 for each step t over all steps i: score (W e_t + b).e_i, softmax, times the mask, renormalised.

    With `score_tanh` (the copy of the layer in bc-LSTM) the memory is multiplied by the mask and the scores pass tanh.
    Returns the U attended states (H,) and the U rows of U weights.
    """
    attended, rows = [], []
    present = [valid.double() for valid in utterance_mask]
    memory = [state * valid for state, valid in zip(states, present, strict=True)] if score_tanh else states
    for state in states:
        query = linear(under(weights, "transform"), state)
        scores = [query @ remembered for remembered in memory]
        if score_tanh:
            scores = [torch.tanh(score * valid) for score, valid in zip(scores, present, strict=True)]
        masked = [share * valid for share, valid in zip(softmax(scores), present, strict=True)]
        rows.append([share / sum(masked) for share in masked])
        attended.append(weighted_sum(rows[-1], memory))
    return attended, rows


def dialogue_rnn_cell(
    weights: Weights,
    utterances: Tensor,
    speaker_mask: Tensor,
    attention: str,
    listener: bool,
    drop: dict[str, Tensor] | None = None,
) -> list[Tensor]:
    """Emotion states e_1 .. e_U of one direction.

    `drop` holds the scaled dropout masks of each step, global_state (U, G), party_states and listener_states (U, P, Q),
    emotion_state (U, E); what they leave is what the next step sees.
    """
    size = {name: weights[f"{name}.weight_hh"].shape[1] for name in ("global_gru", "party_gru", "emotion_gru")}
    zeros = {name: torch.zeros(width, dtype=torch.float64) for name, width in size.items()}

    def dropped(name: str, value: Tensor, *index: int) -> Tensor:
        return value if drop is None else value * drop[name][index]

    global_states: list[Tensor] = []  # g_1 .. g_{t-1}
    party_states = [zeros["party_gru"] for _ in range(speaker_mask.shape[1])]  # q_{p,t-1}
    emotion_states: list[Tensor] = []
    for step, utterance in enumerate(utterances):
        speaks = [float(value) for value in speaker_mask[step]]
        speaker = speaks.index(max(speaks))  # a row of zeros: party 0

        global_input = torch.cat([utterance, party_states[speaker]])  # [u_t ; q_{s,t-1}]
        previous_global = global_states[-1] if global_states else zeros["global_gru"]
        global_state = gru_cell(under(weights, "global_gru"), global_input, previous_global)
        global_state = dropped("global_state", global_state, step)

        context = zeros["global_gru"]  # c_1 = 0
        if global_states:
            context = context_attention(attention, under(weights, "context_attention"), global_states, utterance)
        global_states.append(global_state)

        as_speaker = []  # every party, whether it speaks or not
        for party, state in enumerate(party_states):
            moved = gru_cell(under(weights, "party_gru"), torch.cat([utterance, context]), state)  # [u_t ; c_t]
            as_speaker.append(dropped("party_states", moved, step, party))

        as_listener = party_states
        if listener:
            as_listener = []
            for party, state in enumerate(party_states):
                listener_input = torch.cat([utterance, as_speaker[speaker]])  # [u_t ; q^s_{s,t}]
                moved = gru_cell(under(weights, "listener_gru"), listener_input, state)
                as_listener.append(dropped("listener_states", moved, step, party))

        party_states = [
            as_listener[party] * (1 - speaks[party]) + as_speaker[party] * speaks[party]
            for party in range(len(party_states))
        ]
        previous_emotion = emotion_states[-1] if emotion_states else zeros["emotion_gru"]
        emotion_state = gru_cell(under(weights, "emotion_gru"), party_states[speaker], previous_emotion)
        emotion_states.append(dropped("emotion_state", emotion_state, step))
    return emotion_states


def reverse_valid(rows: Tensor, utterance_mask: Tensor) -> Tensor:
    """The valid prefix of (U, ...) backwards, zeros on the padding behind it."""
    length = int(utterance_mask.sum())
    reversed_rows = [rows[length - 1 - step] for step in range(length)]
    return torch.stack(reversed_rows + [torch.zeros_like(rows[0])] * (len(rows) - length))


def dialogue_rnn_states(
    weights: Weights,
    utterances: Tensor,
    speaker_mask: Tensor,
    utterance_mask: Tensor,
    *,
    attention: str = "general",
    listener: bool = False,
    bidirectional: bool = False,
    drop: dict[str, dict[str, Tensor]] | None = None,
) -> list[Tensor]:
    """States (E,) or (2E,) of each step; a backward direction reads the reversed prefix and is reversed back."""
    drop = drop or {}
    forward = dialogue_rnn_cell(
        under(weights, "forward_cell"), utterances, speaker_mask, attention, listener, drop.get("forward_cell")
    )
    if not bidirectional:
        return forward
    backward = dialogue_rnn_cell(
        under(weights, "backward_cell"),
        reverse_valid(utterances, utterance_mask),
        reverse_valid(speaker_mask, utterance_mask),
        attention,
        listener,
        drop.get("backward_cell"),
    )
    backward = reverse_valid(torch.stack(backward), utterance_mask)
    return [torch.cat([ahead, behind]) for ahead, behind in zip(forward, backward, strict=True)]


def head(weights: Weights, states: list[Tensor], activation: str) -> Tensor:
    """Logits (U, K): Linear, ReLU or tanh, Linear, step by step."""
    rows = []
    for state in states:
        hidden = linear(under(weights, "dense"), state)
        hidden = hidden.clamp(min=0) if activation == "relu" else torch.tanh(hidden)
        rows.append(linear(under(weights, "classifier"), hidden))
    return torch.stack(rows)


def dialogue_rnn(
    weights: Weights,
    utterances: Tensor,
    speaker_mask: Tensor,
    utterance_mask: Tensor,
    *,
    use_attention: bool = False,
    activation: str = "relu",
    **recurrence,
) -> Tensor:
    """Logits (U, K) of the five published systems; activation "tanh", attention "simple" give the AVEC regression."""
    states = dialogue_rnn_states(weights, utterances, speaker_mask, utterance_mask, **recurrence)
    if use_attention:
        states, _ = matching_attention(under(weights, "matching_attention"), states, utterance_mask, score_tanh=False)
    return head(weights, states, activation)


def bc_lstm(
    weights: Weights, utterances: Tensor, utterance_mask: Tensor, *, use_attention: bool, pack: bool, layers: int = 2
) -> Tensor:
    """Logits (U, K), or (valid U, K) with `pack`; without it the backward pass reads the padding zeros first."""
    if pack:
        utterances, utterance_mask = utterances[utterance_mask], utterance_mask[utterance_mask]
    states = bidirectional_lstm(under(weights, "lstm"), utterances, layers)
    if use_attention:
        states, _ = matching_attention(under(weights, "matching_attention"), states, utterance_mask, score_tanh=True)
    return head(weights, states, "relu")


def convolve(weights: Weights, vectors: list[Tensor], padding: str) -> list[Tensor]:
    """ReLU of a convolution over time, stride 1; "same" puts the odd zero vector of an even width at the end."""
    width = weights["weight"].shape[2]
    if padding == "same":
        zero = torch.zeros_like(vectors[0])
        vectors = [zero] * ((width - 1) // 2) + vectors + [zero] * (width - 1 - (width - 1) // 2)
    outputs = []
    for start in range(len(vectors) - width + 1):
        taps = (weights["weight"][:, :, tap] @ vectors[start + tap] for tap in range(width))
        outputs.append((sum(taps) + weights["bias"]).clamp(min=0))
    return outputs


def largest(vectors: list[Tensor]) -> Tensor:
    """The largest value of each channel."""
    return torch.stack(vectors).amax(0)


def text_cnn(weights: Weights, tokens: Tensor, *, branches: int, padding: str, pool: str, pool_size: int = 2) -> Tensor:
    """Logits (K,) of one utterance (T,) of token ids; flattening is time-major, (time, channel)."""
    vectors = [weights["embedding.weight"][token] for token in tokens]
    convolved = [convolve(under(weights, f"convolutions.{branch}"), vectors, padding) for branch in range(branches)]

    def pooled(steps: list[Tensor]) -> list[Tensor]:
        return [largest(steps[end - pool_size : end]) for end in range(pool_size, len(steps) + 1, pool_size)]

    if pool == "after_concat":
        steps = pooled([step for branch in convolved for step in branch])
    elif pool == "per_branch":
        steps = [step for branch in convolved for step in pooled(branch)]
    else:
        steps = [largest(branch) for branch in convolved]
    return head(weights, [torch.cat(steps)], "relu")[0]
