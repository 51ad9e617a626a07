"""The recurrence of DialogueRNN over a whole ragged batch of dialogues (Majumder et al., 2019).

At step t the party s speaks the utterance u_t. With GRUs in the convention of torch.nn.GRUCell and a fresh dropout on
every new state,

    g_t = GRU_g([u_t; q_s], g_{t-1})                   global state
    c_t = sum_i softmax_i(score(g_i, u_t)) g_i, i < t  context; 0 where there is no earlier utterance
    q_s = GRU_p([u_t; c_t], q_s)                       state of the party that speaks
    q_l = GRU_l([u_t; q_s], q_l)                       of every other party, only with listener weights
    e_t = GRU_e(q_s, e_{t-1})                          emotion state

Direction 1, if there is one, reads every dialogue from its last utterance to its first.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mm_emotion.errors import BatchError
from mm_emotion.ops._dialogue_rnn_scan_fused import fused_scan
from mm_emotion.ops._dialogue_rnn_scan_native import native_scan
from mm_emotion.ops._library import has_kernel, reference_ops_wanted
from mm_emotion.ops.masking import masked_softmax, reading_order


class ScanState(NamedTuple):
    """Where a stream of utterances stands, without gradient; only for one direction (R = 1).

    history (B, V, G), padded on the right, history_lengths (B,) int64, party_states (1, B, Q, P),
    emotion_state (1, B, E).
    """

    history: Tensor
    history_lengths: Tensor
    party_states: Tensor
    emotion_state: Tensor


class ScanOutput(NamedTuple):
    """emotion_states (B, U, R*E) and global_states (R, B, U, G), 0 on padding; party_states (R, B, Q, P) after the last
    utterance read; attentions (R, B, U, V+U), without gradient, over the V states of the history and the U new ones."""

    emotion_states: Tensor
    global_states: Tensor
    party_states: Tensor
    attentions: Tensor


def dialogue_rnn_scan(
    inputs: Tensor,
    queries: Tensor,
    speakers: Tensor,
    lengths: Tensor,
    weights: list[Tensor],
    *,
    num_parties: int,
    keep_mask: Tensor | None = None,
    keep: float = 1.0,
    state: ScanState | None = None,
    concat: list[Tensor] | None = None,
) -> ScanOutput:
    """All states of a batch of dialogues, in one or two directions; padding is on the right and changes nothing.

    inputs: (R, B, U, 3G+3P[+3P]), W u + b_ih of the global, the party and, if there is one, the listener GRU.
    queries: (R, B, U, G), what the global states are multiplied with for their score.
    speakers: (B, U) int64 in [0, num_parties). lengths: (B,) int64.
    weights: of each direction in turn W_gq (3G, P), W_gh, b_gh; W_pc (3P, G), W_pq, b_ph; W_eq (3E, P), b_ei, W_eh,
        b_eh; and with a listener W_ls (3P, P), W_lh, b_lh. Rows are in the gate order of torch.nn.GRUCell.
    keep_mask: (R, B, U, G+P+E[+Q*P]) bool, True where dropout keeps a new state, with probability `keep`.
    concat: of each direction in turn W (A, G) and v (A,), for the score v.tanh(W g + query); queries are then
        (R, B, U, A). This kind has no fast path.

    Raises:
        BatchError: a tensor does not fit the others, or holds an index out of range; it names the tensor. On a CUDA
            device, which a look at the indices would stop, those out of range count as the nearest in range.
    """
    _check(inputs, queries, speakers, lengths, weights, num_parties, keep_mask, state, concat)
    # A recurrence stays in the precision of its weights, also where autocast lowers that of the layers around it.
    inputs, queries = inputs.to(weights[0].dtype), queries.to(weights[0].dtype)
    with torch.autocast(inputs.device.type, enabled=False):
        if concat is not None or reference_ops_wanted():
            options = {"num_parties": num_parties, "keep_mask": keep_mask, "keep": keep, "state": state}
            return dialogue_rnn_scan_reference(inputs, queries, speakers, lengths, weights, **options, concat=concat)
        start = (None,) * 4 if state is None else tuple(state)
        scan = native_scan if has_kernel(inputs) else fused_scan
        states = scan(inputs, queries, speakers, lengths, weights, num_parties, keep_mask, keep, start)
    return ScanOutput(*states)


def dialogue_rnn_scan_reference(
    inputs: Tensor,
    queries: Tensor,
    speakers: Tensor,
    lengths: Tensor,
    weights: list[Tensor],
    *,
    num_parties: int,
    keep_mask: Tensor | None = None,
    keep: float = 1.0,
    state: ScanState | None = None,
    concat: list[Tensor] | None = None,
) -> ScanOutput:
    """The definition of `dialogue_rnn_scan`, step by step under autograd."""
    directions, dialogues, steps = inputs.shape[:3]
    per_direction = len(weights) // directions
    emotion_states, global_states, party_states, attentions = [], [], [], []
    for way in range(directions):
        order = reading_order(lengths, steps, backward=way == 1)  # (B, U)
        rows = torch.arange(dialogues, device=order.device)[:, None]
        e, g, q, a = _read(
            inputs[way][rows, order],
            queries[way][rows, order],
            speakers[rows, order],
            lengths,
            weights[way * per_direction : (way + 1) * per_direction],
            num_parties,
            None if keep_mask is None else keep_mask[way][rows, order].to(inputs.dtype) / keep,
            state,
            None if concat is None else concat[2 * way : 2 * way + 2],
        )
        past = a.shape[2] - steps
        a = a[rows, order]
        columns = torch.cat([torch.arange(past, device=order.device).expand(dialogues, -1), past + order], 1)
        emotion_states.append(e[rows, order])
        global_states.append(g[rows, order])
        party_states.append(q)
        attentions.append(a.gather(2, columns[:, None].expand_as(a)).detach())
    states = torch.cat(emotion_states, -1), torch.stack(global_states), torch.stack(party_states)
    return ScanOutput(*_Together.apply(*states), torch.stack(attentions))


class _Together(torch.autograd.Function):
    """Passes tensors through, and gives each of them a gradient, 0 if need be, as soon as one of them has one.

    The last global state of a dialogue reaches no emotion state; its weights must not go without a gradient where all
    dialogues have one utterance, or processes that share their gradients would wait for it.
    """

    @staticmethod
    def forward(ctx, *tensors):
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx, *gradients):
        return gradients


def next_state(output: ScanOutput, lengths: Tensor, state: ScanState | None = None) -> ScanState:
    """Where the stream stands after `output` (R = 1) of `lengths` (B,) utterances that followed `state`."""
    new = output.global_states[0]  # (B, U, G)
    dialogues, steps = new.shape[:2]
    if state is None:
        empty = new.new_zeros(dialogues, 0, new.shape[2])
        before = torch.zeros_like(lengths)
        emotion_state = output.emotion_states.new_zeros(1, dialogues, output.emotion_states.shape[2])
    else:
        empty, before, emotion_state = state.history, state.history_lengths, state.emotion_state
    places = torch.arange(empty.shape[1] + steps, device=new.device).expand(dialogues, -1)  # (B, V+U)
    later = (places - before[:, None] + empty.shape[1]).clamp(max=places.shape[1] - 1)
    source = torch.where(places < before[:, None], places, later)
    history = torch.cat([empty, new], 1).gather(1, source[..., None].expand(-1, -1, new.shape[2]))
    history = history * (places < (before + lengths)[:, None])[..., None]
    last = (lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, output.emotion_states.shape[2])
    emotion = torch.where(lengths[:, None] > 0, output.emotion_states.gather(1, last)[:, 0], emotion_state[0])
    states = (history, before + lengths, output.party_states, emotion[None])
    return ScanState(*(tensor.detach() for tensor in states))


def _read(
    inputs: Tensor,
    queries: Tensor,
    speakers: Tensor,
    lengths: Tensor,
    weights: list[Tensor],
    num_parties: int,
    keep: Tensor | None,
    state: ScanState | None,
    concat: list[Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One direction in reading order: emotion (B, U, E), global (B, U, G), party (B, Q, P), attention (B, U, V+U)."""
    w_gq, w_gh, b_gh, w_pc, w_pq, b_ph, w_eq, b_ei, w_eh, b_eh, *listener = weights
    dialogues, steps = inputs.shape[:2]
    g_size, p_size, e_size = w_gh.shape[1], w_pq.shape[1], w_eh.shape[1]
    x_g, x_p, x_l = inputs.tensor_split([3 * g_size, 3 * g_size + 3 * p_size], -1)
    if keep is None:
        kept = [1.0] * 4
    else:
        kept = keep.tensor_split([g_size, g_size + p_size, g_size + p_size + e_size], -1)
    if state is None:
        history, known = inputs.new_zeros(dialogues, 0, g_size), lengths.new_zeros(dialogues)
        g, e = inputs.new_zeros(dialogues, g_size), inputs.new_zeros(dialogues, e_size)
        party = inputs.new_zeros(dialogues, num_parties, p_size)
    else:
        history, known, party, e = state.history, state.history_lengths, state.party_states[0], state.emotion_state[0]
        # The global state is the newest of the history, and 0 where there is none.
        started = torch.cat([inputs.new_zeros(dialogues, 1, g_size), history], 1)
        g = started[torch.arange(dialogues, device=known.device), known]
    past = history.shape[1]
    rows = torch.arange(dialogues, device=lengths.device)
    places = torch.arange(past + steps, device=lengths.device)
    usable = (places < known[:, None]) | (places >= past)  # (B, V+U)
    spoken = F.one_hot(speakers, num_parties).bool()  # (B, U, Q)
    emotions, attentions = [], []
    for t in range(steps):
        real = (t < lengths)[:, None]  # (B, 1)
        q = party[rows, speakers[:, t]]  # (B, P)
        new_g = _gru(x_g[:, t] + q @ w_gq.T, g @ w_gh.T + b_gh, g) * _at(kept[0], t)
        if concat is None:
            scores = (history @ queries[:, t, :, None])[..., 0]  # (B, V+t)
        else:
            scores = torch.tanh(history @ concat[0].T + queries[:, t, None]) @ concat[1]
        attention = masked_softmax(scores, usable[:, : past + t])
        context = (attention[:, None] @ history)[:, 0]  # (B, G)
        q = _gru(x_p[:, t] + context @ w_pc.T, q @ w_pq.T + b_ph, q) * _at(kept[1], t)
        others = party  # (B, Q, P)
        if listener:
            w_ls, w_lh, b_lh = listener
            drop = 1.0 if keep is None else kept[3][:, t].unflatten(-1, (num_parties, p_size))
            others = _gru((x_l[:, t] + q @ w_ls.T)[:, None], party @ w_lh.T + b_lh, party) * drop
        party = torch.where(real[..., None], torch.where(spoken[:, t, :, None], q[:, None], others), party)
        e = _gru(q @ w_eq.T + b_ei, e @ w_eh.T + b_eh, e) * _at(kept[2], t)
        g = new_g
        history = torch.cat([history, torch.where(real, g, 0)[:, None]], 1)
        emotions.append(torch.where(real, e, 0))
        attentions.append(F.pad(torch.where(real, attention, 0), (0, steps - t)))
    if not steps:
        return inputs.new_zeros(dialogues, 0, e_size), history[:, past:], party, inputs.new_zeros(dialogues, 0, past)
    return torch.stack(emotions, 1), history[:, past:], party, torch.stack(attentions, 1)


def _at(kept: Tensor | float, t: int) -> Tensor | float:
    return kept if isinstance(kept, float) else kept[:, t]


def _gru(from_input: Tensor, from_state: Tensor, state: Tensor) -> Tensor:
    """torch.nn.GRUCell after its two matrix products."""
    i_r, i_z, i_n = from_input.chunk(3, -1)
    h_r, h_z, h_n = from_state.chunk(3, -1)
    z = torch.sigmoid(i_z + h_z)
    n = torch.tanh(i_n + torch.sigmoid(i_r + h_r) * h_n)
    return n + z * (state - n)


def _check(
    inputs: Tensor,
    queries: Tensor,
    speakers: Tensor,
    lengths: Tensor,
    weights: list[Tensor],
    num_parties: int,
    keep_mask: Tensor | None,
    state: ScanState | None,
    concat: list[Tensor] | None,
) -> None:
    directions, dialogues, steps = inputs.shape[:3]
    # Plain comparisons: under torch.compile sizes are symbols, which `in` does not compare.
    if not 1 <= directions <= 2 or (len(weights) != 10 * directions and len(weights) != 13 * directions):
        raise BatchError("weights", "10, or with a listener 13, for each of 1 or 2 directions", len(weights))
    listener = len(weights) == 13 * directions
    if any(weights[index].dim() != 2 for index in (1, 4, 8)):
        raise BatchError("weights", "matrices W_gh, W_pq and W_eh", [weights[index].dim() for index in (1, 4, 8)])
    g_size, p_size, e_size = weights[1].shape[1], weights[4].shape[1], weights[8].shape[1]
    score_size = g_size if concat is None else concat[0].shape[0]
    kind = weights[0].dtype
    expected = {
        "inputs": (inputs, (directions, dialogues, steps, 3 * g_size + (6 if listener else 3) * p_size), None),
        "queries": (queries, (directions, dialogues, steps, score_size), None),
        "speakers": (speakers, (dialogues, steps), torch.int64),
        "lengths": (lengths, (dialogues,), torch.int64),
    }
    rows = [(3 * size, width) for size, width in ((g_size, p_size), (p_size, g_size), (e_size, p_size))]
    columns = [(3 * size, size) for size in (g_size, p_size, e_size)]
    shapes = [rows[0], columns[0], (3 * g_size,), rows[1], columns[1], (3 * p_size,)]
    shapes += [rows[2], (3 * e_size,), columns[2], (3 * e_size,)]
    shapes += [columns[1], columns[1], (3 * p_size,)] if listener else []
    for index, (weight, shape) in enumerate(zip(weights, shapes * directions, strict=True)):
        expected[f"weights[{index}]"] = (weight, shape, kind)
    if keep_mask is not None:
        width = g_size + p_size + e_size + (num_parties * p_size if listener else 0)
        expected["keep_mask"] = (keep_mask, (directions, dialogues, steps, width), torch.bool)
    if state is not None:
        past = state.history.shape[1]
        expected["state.history"] = (state.history, (dialogues, past, g_size), None)
        expected["state.history_lengths"] = (state.history_lengths, (dialogues,), torch.int64)
        expected["state.party_states"] = (state.party_states, (1, dialogues, num_parties, p_size), None)
        expected["state.emotion_state"] = (state.emotion_state, (1, dialogues, e_size), None)
        if directions != 1:
            raise BatchError("state", "one direction", directions)
    for name, (tensor, shape, dtype) in expected.items():
        if tensor.shape != shape:
            raise BatchError(name, f"shape {shape}", tuple(tensor.shape))
        if dtype is not None and tensor.dtype != dtype:
            raise BatchError(name, dtype, tensor.dtype)
        if tensor.device != inputs.device:
            raise BatchError(name, f"device {inputs.device}", tensor.device)
