"""`dialogue_rnn_scan` on the kernels of the native extension: what differentiates, traces and casts them.

The kernels do what is sequential. They leave the gradients of all gates in packed rows, one row for each real
utterance, so that every weight gradient is one matrix product here.
"""

import torch
from torch import Tensor

from mm_emotion.errors import BatchError
from mm_emotion.ops._gru import state_gradients
from mm_emotion.ops._library import kernel_devices, no_second_derivative

WIDE = {torch.bfloat16: torch.float32, torch.float16: torch.float32}


def native_scan(
    inputs: Tensor,
    queries: Tensor,
    speakers: Tensor,
    lengths: Tensor,
    weights: list[Tensor],
    num_parties: int,
    keep_mask: Tensor | None,
    keep: float,
    start: tuple[Tensor | None, ...] = (None,) * 4,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `fused_scan`. Half precision is computed, and kept between steps, in float32.

    On CUDA indices out of range are taken to the nearest in range: to refuse them would wait for the device.
    """
    history, history_lengths, party_states, emotion_state = start
    narrow = weights[0].dtype
    wide = WIDE.get(narrow, narrow)
    check_values(speakers, lengths, num_parties, inputs.shape[2], history, history_lengths)
    inputs, queries = inputs.to(wide), queries.to(wide)
    if narrow != torch.bfloat16 or not inputs.is_cuda:  # which reads such weights as they are
        weights = [weight.to(wide) for weight in weights]
    history, party_states, emotion_state = (
        None if tensor is None else tensor.detach().to(wide) for tensor in (history, party_states, emotion_state)
    )
    save = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in (inputs, queries, *weights))
    *states, attentions, _ = torch.ops.mm_emotion.dialogue_rnn_scan(
        inputs, queries, speakers, lengths, weights, keep_mask, 1 / keep, num_parties,
        history, history_lengths, party_states, emotion_state, save,
    )  # fmt: skip
    emotion_states, global_states, party_states = (tensor.to(narrow) for tensor in states)
    return emotion_states, global_states, party_states, attentions.detach().to(narrow)


def check_values(
    speakers: Tensor,
    lengths: Tensor,
    num_parties: int,
    steps: int,
    history: Tensor | None,
    history_lengths: Tensor | None,
) -> None:
    """Refuse indices out of range; the kernels do so as well, but cannot raise a typed error."""
    if torch.compiler.is_compiling() or lengths.device.type != "cpu":
        return
    real = torch.arange(steps) < lengths[:, None]
    ranges = [("speakers", speakers[real], num_parties - 1), ("lengths", lengths, steps)]
    if history is not None:
        ranges.append(("state.history_lengths", history_lengths, history.shape[1]))
    for name, values, most in ranges:
        if values.numel() and (values.min() < 0 or values.max() > most):
            raise BatchError(name, f"values from 0 to {most}", [int(values.min()), int(values.max())])


def _blocks(flat: Tensor, rows: int, widths: list[int]) -> list[Tensor]:
    """Matrices (rows, width) that lie one behind the other in `flat`."""
    parts = flat[: rows * sum(widths)].split([rows * width for width in widths])
    return [part.view(rows, width) for part, width in zip(parts, widths, strict=True)]


def _scan_backward(
    d_emotion, d_global, d_party, queries, speakers, lengths, weights, keep_mask, keep_scale, num_parties,
    history, history_lengths, global_states, attentions, reserve,
):  # fmt: skip
    d_inputs, d_queries, d_gates = torch.ops.mm_emotion.dialogue_rnn_scan_chain(
        d_emotion, d_global, d_party, queries, speakers, lengths, weights, keep_mask, keep_scale, num_parties,
        history, history_lengths, global_states, attentions, reserve,
    )  # fmt: skip
    # On the CPU a row for each real utterance; where a length may not be asked for, one for each cell, 0 on padding.
    rows = int(lengths.sum()) if lengths.device.type == "cpu" else speakers.numel()
    d_weights = weight_gradients(weights, len(queries), num_parties, rows, reserve, d_gates)
    return d_inputs, d_queries, [d.to(weight.dtype) for d, weight in zip(d_weights, weights, strict=True)]


def weight_gradients(
    weights: list[Tensor], directions: int, num_parties: int, rows: int, reserve: Tensor, d_gates: Tensor
) -> list[Tensor]:
    """Gradients of all weights from the `rows` packed rows of each direction of `reserve` and `d_gates`."""
    share = len(weights) // directions
    g, p, e = (weights[index].shape[1] for index in (1, 4, 8))
    widths, d_widths = [4 * g, 4 * p, 4 * e, p, p, g, g, e], [4 * g, 4 * p, 4 * e]
    if share == 13:
        widths, d_widths = [*widths, 4 * num_parties * p, num_parties * p], [*d_widths, 4 * num_parties * p, 3 * p]
    d_weights = []
    for way in range(directions):
        _, _, _, q_before, q_after, context, g_before, e_before, *listener = _blocks(reserve[way], rows, widths)
        gates_g, gates_p, gates_e, *heard = _blocks(d_gates[way], rows, d_widths)
        of_g, of_p, of_e = gates_g[:, g:], gates_p[:, p:], gates_e[:, e:]
        d_weights += [of_g.T @ q_before, *state_gradients(gates_g, g_before)]
        d_weights += [of_p.T @ context, *state_gradients(gates_p, q_before)]
        d_weights += [of_e.T @ q_after, of_e.sum(0), *state_gradients(gates_e, e_before)]
        if listener:
            of_state = state_gradients(heard[0].view(-1, 4 * p), listener[1].view(-1, p))
            d_weights += [heard[1].T @ q_after, *of_state]
    return d_weights


def _save(ctx, inputs, output):
    _, queries, speakers, lengths, weights, keep_mask, keep_scale, num_parties, history, history_lengths, *_ = inputs
    _, global_states, _, attentions, reserve = output
    # Nobody needs a gradient of them, nor zeros in place of one.
    ctx.mark_non_differentiable(attentions, reserve)
    ctx.set_materialize_grads(False)
    ctx.scalars = keep_scale, num_parties
    tensors = (queries, speakers, lengths, keep_mask, history, history_lengths, global_states, attentions, reserve)
    ctx.save_for_backward(*tensors, *weights)


def _backward(ctx, d_emotion, d_global, d_party, *_):
    queries, speakers, lengths, keep_mask, history, history_lengths, *rest = ctx.saved_tensors
    global_states, attentions, reserve, *weights = rest
    keep_scale, num_parties = ctx.scalars
    d_inputs, d_queries, d_weights = torch.ops.mm_emotion.dialogue_rnn_scan_backward(
        d_emotion, d_global, d_party, queries, speakers, lengths, weights, keep_mask, keep_scale, num_parties,
        history, history_lengths, global_states, attentions, reserve,
    )  # fmt: skip
    return d_inputs.movedim(2, 0), d_queries, None, None, d_weights, *(None,) * 8


def _register() -> None:
    @torch.library.register_fake("mm_emotion::dialogue_rnn_scan")
    def _(inputs, queries, speakers, lengths, weights, keep_mask, keep_scale, num_parties, history, *rest):
        directions, count, steps, g = queries.shape
        p, e = weights[4].shape[1], weights[8].shape[1]
        past = 0 if history is None else history.shape[1]
        width = 6 * g + 6 * p + 5 * e + (5 * num_parties * p if len(weights) == 13 * directions else 0)
        kept = count * steps * width
        if inputs.is_cuda:
            kept += count * (2 * steps + past) * 3 * p  # and the keys of every state, and of every context
        return (
            inputs.new_empty(count, steps, directions * e),
            inputs.new_empty(directions, count, steps, g),
            inputs.new_empty(directions, count, num_parties, p),
            inputs.new_empty(directions, count, steps, past + steps),
            inputs.new_empty(directions, kept if rest[-1] else 0),
        )

    @torch.library.register_fake("mm_emotion::dialogue_rnn_scan_backward")
    def _(d_emotion, d_global, d_party, queries, speakers, lengths, weights, *_):
        g, p = queries.shape[3], weights[4].shape[1]
        gates = 3 if len(weights) == 10 * len(queries) else 6
        directions, count, steps = queries.shape[:3]
        d_inputs = queries.new_empty(count, steps, directions, 3 * g + gates * p)
        return d_inputs, queries.new_empty(queries.shape), [weight.new_empty(weight.shape) for weight in weights]

    torch.library.register_autograd("mm_emotion::dialogue_rnn_scan", _backward, setup_context=_save)
    torch.library.register_autograd("mm_emotion::dialogue_rnn_scan_backward", no_second_derivative)
    for device in kernel_devices():
        torch.library.impl("mm_emotion::dialogue_rnn_scan_backward", device)(_scan_backward)
        torch.library.register_autocast("mm_emotion::dialogue_rnn_scan", device, torch.float32)


if kernel_devices():
    _register()
