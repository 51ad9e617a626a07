"""The utterance networks written out literally: one utterance, one step, one unit of a window at a time.

As in `transcriptions`: weights are dictionaries with the names of `state_dict`, tensors are float64, nothing is fast.
A sequence is a list of vectors (D,), a picture a list of rows of cells (C,), a clip a tensor (C, F, Y, X).
"""

import torch
from torch import Tensor

from .transcriptions import Weights, linear, softmax, under, weighted_sum


def sigmoid(values: Tensor) -> Tensor:
    """1 / (1 + e^-x)."""
    return 1 / (1 + torch.exp(-values))


def relu(values: Tensor) -> Tensor:
    """max(x, 0)."""
    return values.clamp(min=0)


def layer_norm(weights: Weights, vector: Tensor, epsilon: float) -> Tensor:
    """gamma (x - mean) / sqrt(var + epsilon) + beta, moments over the values of one vector."""
    mean = sum(vector) / len(vector)
    variance = sum((value - mean) ** 2 for value in vector) / len(vector)
    return weights["weight"] * (vector - mean) / torch.sqrt(variance + epsilon) + weights["bias"]


def batch_norm(weights: Weights, vector: Tensor, epsilon: float) -> Tensor:
    """gamma (x - moving mean) / sqrt(moving var + epsilon) + beta, as in evaluation."""
    scale = torch.sqrt(weights["running_var"] + epsilon)
    return weights["weight"] * (vector - weights["running_mean"]) / scale + weights["bias"]


def multi_head_attention(weights: Weights, states: list[Tensor], heads: int) -> list[Tensor]:
    """For each step: per head softmax_j(q_t.k_j / sqrt(key size)) over all steps j, heads side by side, projected."""
    query, key, value = ([linear(under(weights, name), x) for x in states] for name in ("query", "key", "value"))
    size = len(query[0]) // heads
    attended = []
    for step in range(len(states)):
        parts = []
        for head in range(heads):
            mine = slice(head * size, (head + 1) * size)
            shares = softmax([query[step][mine] @ other[mine] / size**0.5 for other in key])
            parts.append(weighted_sum(shares, [other[mine] for other in value]))
        attended.append(linear(under(weights, "output"), torch.cat(parts)))
    return attended


def text_te(weights: Weights, tokens: Tensor, *, heads: int, epsilon: float = 1e-6) -> Tensor:
    """Logits (K,) of word ids (T,); every one of the T steps counts, padding or not.

    x_t = word_t + position_t; x1 = LN(x + MHA(x, x)); x2 = LN(x1 + W2 relu(W1 x1)); scores = relu(dense(mean_t x2)).
    """
    body = under(weights, "body")
    block = under(body, "block")
    states = [body["embedding.weight"][token] + body["positions.weight"][step] for step, token in enumerate(tokens)]
    attended = multi_head_attention(under(block, "attention"), states, heads)
    after = []
    for state, context in zip(states, attended, strict=True):
        middle = layer_norm(under(block, "attention_norm"), state + context, epsilon)
        inner = linear(under(block, "outer"), relu(linear(under(block, "inner"), middle)))
        after.append(layer_norm(under(block, "feedforward_norm"), middle + inner, epsilon))
    scores = relu(linear(under(weights, "dense"), sum(after) / len(after)))
    return linear(under(weights, "classifier"), scores)


def audio_dense(weights: Weights, vector: Tensor, *, norm: str, position: str, epsilon: float = 1e-3) -> Tensor:
    """Logits (K,) of one vector: dense, norm and ReLU in either order, dense."""

    def normalise(values: Tensor) -> Tensor:
        if norm == "none":
            return values
        return (layer_norm if norm == "layer" else batch_norm)(under(weights, "norm"), values, epsilon)

    hidden = linear(under(weights, "dense"), vector)
    hidden = relu(normalise(hidden)) if position == "before_activation" else normalise(relu(hidden))
    return linear(under(weights, "classifier"), hidden)


def video_cnn3d(weights: Weights, clip: Tensor, *, pool: int) -> Tensor:
    """Logits (K,) of a clip (C, F, Y, X): ReLU of a valid 3-D convolution, maxima of whole cubes, flattened, dense.

    Flattening is channels-last: (frame, row, column, map).
    """
    kernel, bias = weights["block.convolution.weight"], weights["block.convolution.bias"]  # (M, C, k, k, k), (M,)
    width = kernel.shape[2]
    frames, rows, columns = (size - width + 1 for size in clip.shape[1:])
    pooled = []
    for f in range(frames // pool):
        for y in range(rows // pool):
            for x in range(columns // pool):
                cube = []
                for df in range(pool):
                    for dy in range(pool):
                        for dx in range(pool):
                            a, b, c = f * pool + df, y * pool + dy, x * pool + dx
                            window = clip[:, a : a + width, b : b + width, c : c + width]
                            cube.append(relu((kernel * window).sum((1, 2, 3, 4)) + bias))
                pooled.append(torch.stack(cube).amax(0))
    scores = relu(linear(under(weights, "dense"), torch.cat(pooled)))
    return linear(under(weights, "classifier"), scores)


def same_zeros(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Zeros before and after so that ceil(size / stride) windows fit; the odd one goes behind."""
    windows = -(-size // stride)
    zeros = max((windows - 1) * stride + kernel - size, 0)
    return zeros // 2, zeros - zeros // 2


def convolve_steps(weights: Weights, steps: list[Tensor], stride: int, padding: str) -> list[Tensor]:
    """A convolution over time, without activation."""
    kernel = weights["weight"]  # (M, D, k)
    width = kernel.shape[2]
    if padding == "same":
        before, after = same_zeros(len(steps), width, stride)
        zero = torch.zeros_like(steps[0])
        steps = [zero] * before + steps + [zero] * after
    starts = range(0, len(steps) - width + 1, stride)
    return [sum(kernel[:, :, tap] @ steps[s + tap] for tap in range(width)) + weights["bias"] for s in starts]


def convolve_picture(weights: Weights, picture: list[list[Tensor]], stride: int, padding: str) -> list[list[Tensor]]:
    """A convolution over rows and columns of cells (C,), without activation."""
    kernel = weights["weight"]  # (M, C, k, k)
    height, width = kernel.shape[2:]
    zero = torch.zeros_like(picture[0][0])
    if padding == "same":
        above, below = same_zeros(len(picture), height, stride)
        left, right = same_zeros(len(picture[0]), width, stride)
        across = left + len(picture[0]) + right
        picture = [[zero] * left + row + [zero] * right for row in picture]
        picture = [[zero] * across] * above + picture + [[zero] * across] * below
    made = []
    for y in range(0, len(picture) - height + 1, stride):
        row = []
        for x in range(0, len(picture[0]) - width + 1, stride):
            taps = [kernel[:, :, i, j] @ picture[y + i][x + j] for i in range(height) for j in range(width)]
            row.append(sum(taps) + weights["bias"])
        made.append(row)
    return made


def keras_lstm(weights: Weights, steps: list[Tensor]) -> list[Tensor]:
    """The LSTM with one bias: [i, f, g, o] = W x + U h + b, c' = s(f) c + s(i) tanh(g), h' = s(o) tanh(c')."""
    kernel, recurrent, bias = weights["weight_ih_l0"], weights["weight_hh_l0"], weights["bias_ih_l0"]
    state = memory = torch.zeros(recurrent.shape[1], dtype=torch.float64)
    states = []
    for step in steps:
        enter, forget, candidate, leave = (kernel @ step + recurrent @ state + bias).chunk(4)
        memory = sigmoid(forget) * memory + sigmoid(enter) * torch.tanh(candidate)
        state = sigmoid(leave) * torch.tanh(memory)
        states.append(state)
    return states


def attention_decoder(weights: Weights, steps: list[Tensor]) -> list[Tensor]:
    """One output y_t (m,) for each step of x_1 .. x_T; the step's own input is used through the attention alone.

    s_0 = tanh(W_s x_1), y_0 = 0. e_i = v.tanh(W_a s + U_a x_i + b_a), a = softmax(e), c = sum_i a_i x_i;
    r = s(W_r y + U_r s + C_r c + b_r), z likewise, p = tanh(W_p y + U_p (r s) + C_p c + b_p), s' = (1 - z) s + z p;
    y' = softmax(W_o y + U_o s + C_o c + b_o) with the old s.
    """
    w = weights
    state = torch.tanh(w["initial"] @ steps[0])
    output = torch.zeros(w["output_bias"].shape[0], dtype=torch.float64)
    outputs = []
    for _ in steps:
        scores = [
            w["score"] @ torch.tanh(w["score_state"] @ state + w["score_input"] @ x + w["score_bias"]) for x in steps
        ]
        context = weighted_sum(softmax(scores), steps)

        def mixed(name: str, remembered: Tensor, y: Tensor = output, c: Tensor = context) -> Tensor:
            return (
                w[f"{name}_output"] @ y + w[f"{name}_state"] @ remembered + w[f"{name}_context"] @ c + w[f"{name}_bias"]
            )

        reset, update = sigmoid(mixed("reset", state)), sigmoid(mixed("update", state))
        proposal = torch.tanh(mixed("proposal", reset * state))
        emitted = torch.stack(softmax(list(mixed("output", state))))
        state, output = (1 - update) * state + update * proposal, emitted
        outputs.append(output)
    return outputs


def both_ways(run, weights: Weights, steps: list[Tensor]) -> list[Tensor]:
    """[forward ; backward] of each step; the backward one reads from the last step to the first."""
    ahead = run(under(weights, "ahead"), steps)
    back = run(under(weights, "back"), steps[::-1])[::-1]
    return [torch.cat(pair) for pair in zip(ahead, back, strict=True)]
