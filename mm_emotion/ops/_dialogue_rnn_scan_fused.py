"""The fast path of `dialogue_rnn_scan`: one autograd node for the whole recurrence, in plain PyTorch.

What makes it fast: a step touches only the dialogues still running, and of their parties the one that speaks; the
emotion GRU, which nothing reads back, runs after the rest; the local derivatives of every gate are formed for all steps
at once, so that a step of the backward pass is one product per GRU and its matrix products; and the weight gradients
are one product per matrix at the very end instead of one per step.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mm_emotion.ops._gru import derivatives, gru, state_gradients, times, turn
from mm_emotion.ops._listening import Listening
from mm_emotion.ops._ragged import Walk, make_plan
from mm_emotion.ops.masking import masked_softmax


class _Trace(NamedTuple):
    """What the backward pass reads of a direction; N packed rows, T steps, V states of a given history."""

    states: Tensor  # (B, 1+V+U, G): before the first step, given, new
    emotions: Tensor  # (B+N, E): before the first step, packed
    attention: Tensor  # (B, T, V+T)
    queries: Tensor  # (B, T, G)
    q_before: Tensor  # (N, P) of the party that speaks
    q_after: Tensor  # (N, P)
    contexts: Tensor  # (N, G)
    gates_g: Tensor  # (N, 4G)
    gates_p: Tensor  # (N, 4P)
    gates_e: Tensor  # (N, 4E)
    party_before: Tensor | None  # (N, Q, P) with a listener
    gates_l: Tensor | None  # (N, Q, 4P)


def fused_scan(
    inputs: Tensor,
    queries: Tensor,
    speakers: Tensor,
    lengths: Tensor,
    weights: list[Tensor],
    num_parties: int,
    keep_mask: Tensor | None,
    keep: float,
    start: tuple[Tensor | None, ...] = (None,) * 4,
    shrink: bool | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As `dialogue_rnn_scan`; `start` is the state of the stream or four times None.

    `shrink` walks only the dialogues still running, which needs the lengths on the host; by default on the CPU alone.
    """
    shrink = lengths.device.type == "cpu" if shrink is None else shrink
    plan = make_plan(lengths, inputs.shape[2], num_parties, shrink)
    differentiable = (inputs, queries, *weights)
    save = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in differentiable)
    return _Scan.apply(plan, save, keep, speakers, lengths, keep_mask, *start, *differentiable)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx, plan, save, keep, speakers, lengths, keep_mask, *tensors):
        start, (inputs, queries, *weights) = tensors[:4], tensors[4:]
        ctx.plan, ctx.shape, share = plan, inputs.shape, len(weights) // len(inputs)
        results, saved = [], []
        for way in range(len(inputs)):
            walk = Walk(plan, way == 1, lengths, speakers)
            own = weights[way * share : (way + 1) * share]
            kept = None if keep_mask is None else walk.pack(keep_mask[way]).to(inputs.dtype).div_(keep)
            result, trace = _forward(walk, walk.pack(inputs[way]), walk.spread(queries[way]), kept, own, start, save)
            results.append(result)
            saved += [*trace, kept, *own]
        emotion, global_states, parties, attentions = zip(*results, strict=True)
        attentions = torch.stack(attentions)
        ctx.save_for_backward(speakers, lengths, *saved)
        ctx.mark_non_differentiable(attentions)
        return torch.cat(emotion, -1), torch.stack(global_states), torch.stack(parties), attentions

    @staticmethod
    @once_differentiable
    def backward(ctx, d_emotion, d_global, d_party, _):
        speakers, lengths, *saved = ctx.saved_tensors
        ways, count, steps, width = ctx.shape
        share, traced = len(saved) // ways, len(_Trace._fields)
        # Laid out as one product of all directions gives its result, so that its gradient need not be copied.
        d_inputs = d_emotion.new_zeros(count, steps, ways, width).movedim(2, 0)
        d_queries, d_weights = torch.zeros_like(d_global), []
        for way, d_e in enumerate(d_emotion.chunk(ways, -1)):
            walk = Walk(ctx.plan, way == 1, lengths, speakers)
            trace, (kept, *own) = saved[way * share :][:traced], saved[way * share :][traced:share]
            given = walk.pack(d_e), walk.pack(d_global[way]), d_party[way]
            d_in, d_query, d_own = _backward(walk, *given, kept, own, _Trace(*trace))
            for part, out in zip(d_in, d_inputs[way].split([part.shape[1] for part in d_in], -1), strict=True):
                walk.unpack(part, out)
            walk.unpack(d_query, d_queries[way])
            d_weights += d_own
        return (None,) * 10 + (d_inputs, d_queries, *d_weights)


def _forward(walk, x, queries, kept, weights, start, save):
    """(emotion, global, party, attention) in the caller's order, and the trace (empty unless `save`)."""
    w_gq, w_gh, b_gh, w_pc, w_pq, b_ph, w_eq, b_ei, w_eh, b_eh, *listener = weights
    plan, (count, steps) = walk.plan, walk.order.shape
    g_size, p_size, e_size = w_gh.shape[1], w_pq.shape[1], w_eh.shape[1]
    states, party, emotions, usable = _start(plan, x, weights, start)
    past = states.shape[1] - 1 - steps
    attention = x.new_zeros(count, steps, past + steps)
    kept_g, kept_p, kept_e, kept_l = _split_kept(kept, g_size, p_size, e_size)
    x_g, x_p, x_l = x.tensor_split([3 * g_size, 3 * g_size + 3 * p_size], -1)
    rows = len(walk.rows) if save else count  # without a trace, every step writes over the one before
    q_before, q_after, contexts = (
        x.new_empty(rows, p_size),
        x.new_empty(len(walk.rows), p_size),
        x.new_empty(rows, g_size),
    )
    gates_g, gates_p, gates_e = (x.new_empty(rows, 4 * size) for size in (g_size, p_size, e_size))
    party_before = x.new_empty(rows, plan.parties, p_size) if listener else None
    gates_l = x.new_empty(rows, plan.parties, 4 * p_size) if listener else None
    t_gq, t_gh, t_pc, t_pq, t_eh, *t_listener = (
        _columns(w, steps) for w in (w_gq, w_gh, w_pc, w_pq, w_eh, *listener[:2])
    )
    flat_party = party.view(-1, p_size)
    for t, n, here in plan.slices():
        kept_rows, speaking = here if save else slice(0, n), walk.parties[here]
        q, c, new = q_before[kept_rows], contexts[kept_rows], q_after[here]
        torch.index_select(flat_party, 0, speaking, out=q)
        g, g_before = states[:n, 1 + past + t], states[:n, past + t if t else 0]
        gru(torch.addmm(x_g[here], q, t_gq), torch.addmm(b_gh, g_before, t_gh), g_before, gates_g[kept_rows], g)
        if kept is not None:
            g.mul_(kept_g[here])
        _attend(states[:n, 1 : 1 + past + t], queries[:n, t], usable, attention[:n, t, : past + t], c)
        gru(torch.addmm(x_p[here], c, t_pc), torch.addmm(b_ph, q, t_pq), q, gates_p[kept_rows], new)
        if kept is not None:
            new.mul_(kept_p[here])
        if listener:
            old = party_before[kept_rows].copy_(party[:n, :-1])  # (n, Q, P)
            heard = torch.addmm(x_l[here], new, t_listener[0])[:, None]
            from_state = torch.addmm(listener[2], old.flatten(0, 1), t_listener[1]).view(n, plan.parties, -1)
            others = torch.empty_like(old)
            gru(heard, from_state, old, gates_l[kept_rows], others)
            if kept is not None:
                others.mul_(kept_l[here].view_as(others))
            party[:n, :-1] = others if plan.real is None else torch.where(plan.real[here, None], others, old)
        flat_party.index_copy_(0, speaking, new)
    from_party, packed = torch.addmm(b_ei, q_after, w_eq.T), emotions[count:]
    for t, n, here in plan.slices():
        before, e = packed[walk.previous(t)] if t else emotions[:n], packed[here]
        gru(from_party[here], torch.addmm(b_eh, before, t_eh), before, gates_e[here if save else slice(0, n)], e)
        if kept is not None:
            e.mul_(kept_e[here])
    result = _results(walk, packed, states[:, 1 + past :], party[:, :-1], attention)
    if not save:
        return result, ()
    of_listener = (party_before, gates_l)
    return result, _Trace(
        states, emotions, attention, queries, q_before, q_after, contexts, gates_g, gates_p, gates_e, *of_listener
    )


def _start(plan, x, weights, start):
    """Zeros, or a stream's state: states (B, 1+V+T, G), parties (B, Q+1, P), emotions (B+N, E), usable (B, V)."""
    history, known, party_states, emotion_state = start
    count, past = len(plan.dialogues), 0 if history is None else history.shape[1]
    # Column 0 is the state before the first step; then come the given history and the new states.
    states = x.new_zeros(count, 1 + past + len(plan.sizes), weights[1].shape[1])
    party = x.new_zeros(count, plan.parties + 1, weights[4].shape[1])
    emotions = x.new_zeros(count + len(plan.row_of), weights[8].shape[1])
    if history is None:
        return states, party, emotions, None
    known = known[plan.dialogues]
    states[:, 1 : 1 + past] = history[plan.dialogues]
    states[:, 0] = states[torch.arange(count, device=known.device), known]
    party[:, :-1] = party_states[0][plan.dialogues]
    emotions[:count] = emotion_state[0][plan.dialogues]
    return states, party, emotions, torch.arange(past, device=known.device) < known[:, None]


def _results(walk, emotions, states, party, attention):
    """From the order of walking, and packed, to the caller's."""
    plan, count = walk.plan, len(party)
    past = attention.shape[2] - attention.shape[1]
    emotion = walk.unpack(emotions, emotions.new_zeros(count, plan.steps, emotions.shape[-1]))
    global_states = states.new_zeros(count, plan.steps, states.shape[-1])
    walk.unpack(states[plan.row_of, plan.step_of], global_states)
    columns = attention.new_zeros(*attention.shape[:2], past + plan.steps)  # (B, T, V+U)
    columns[:, :, :past] = attention[:, :, :past]
    columns.scatter_(2, (past + walk.order)[:, None].expand(-1, attention.shape[1], -1), attention[:, :, past:])
    weights = walk.unpack(columns[plan.row_of, plan.step_of], columns.new_zeros(count, plan.steps, past + plan.steps))
    parties = torch.empty_like(party)
    parties[plan.dialogues] = party
    return emotion, global_states, parties, weights


def _backward(walk, d_emotion, d_global, d_party_states, kept, weights, trace):
    """Gradients of the packed inputs (one part per GRU), of the packed queries, and of the weights in their order."""
    w_gq, w_gh, _, w_pc, w_pq, _, w_eq, _, w_eh, _, *listener = weights
    plan, (count, steps) = walk.plan, walk.order.shape
    g_size, p_size, e_size = w_gh.shape[1], w_pq.shape[1], w_eh.shape[1]
    states, attention, past = trace.states, trace.attention, trace.attention.shape[2] - steps
    kept_g, kept_p, kept_e, kept_l = _split_kept(kept, g_size, p_size, e_size)
    first = plan.step_of == 0
    earlier = torch.tensor([0, *plan.offsets], device=first.device)[plan.step_of] + plan.row_of  # one step before
    e_before = trace.emotions[torch.where(first, plan.row_of, count + earlier)]
    g_before = states[plan.row_of, torch.where(first, 0, past + plan.step_of)]

    d_gates_e, direct = derivatives(trace.gates_e, e_before, kept_e)
    d_e, turned = d_emotion.clone(), turn(w_eh)
    for t, _, here in plan.slices()[::-1]:
        gates = times(d_gates_e[here], d_e[here])
        if t:
            d_e[walk.previous(t)].addcmul_(d_e[here], direct[here]).addmm_(gates[:, : 3 * e_size], turned)
    d_q_after = d_gates_e[:, e_size:] @ w_eq  # (N, P)

    d_gates_g, direct_g = derivatives(trace.gates_g, g_before, kept_g)
    d_gates_p, direct_p = derivatives(trace.gates_p, trace.q_before, kept_p)
    d_g, turned_g, turned_p = d_global.clone(), turn(w_gh), turn(w_pq)
    d_party = d_party_states.new_zeros(count, plan.parties + 1, p_size)
    d_party[:, :-1] = d_party_states[plan.dialogues]
    flat_party = d_party.view(-1, p_size)
    d_contexts, d_scores = states.new_zeros(count, steps, g_size), torch.zeros_like(attention)
    listening = Listening(walk, listener, kept_l, trace) if listener else None
    for t, n, here in plan.slices()[::-1]:
        speaking = walk.parties[here]
        d_q = flat_party.index_select(0, speaking).add_(d_q_after[here])
        if listening:
            listening.back(here, d_party[:n, :-1], d_q)
        gates = times(d_gates_p[here], d_q)
        d_q.mul_(direct_p[here]).addmm_(gates[:, : 3 * p_size], turned_p)
        d_contexts[:n, t] = d_c = torch.mm(gates[:, p_size:], w_pc)
        if past + t:
            weight = attention[:n, t, : past + t]
            d_weight = torch.bmm(states[:n, 1 : 1 + past + t], d_c[:, :, None])[..., 0].mul_(weight)
            d_scores[:n, t, : past + t] = d_weight.addcmul_(weight, d_weight.sum(-1, keepdim=True), value=-1)
        d_here = d_g[here]
        if t + 1 < steps:
            # Every later step of a dialogue has read this state, as a value and as a key.
            later = plan.sizes[t + 1]
            d_read = d_here[:later, None]
            d_read.baddbmm_(attention[:later, t + 1 :, past + t][:, None], d_contexts[:later, t + 1 :])
            d_read.baddbmm_(d_scores[:later, t + 1 :, past + t][:, None], trace.queries[:later, t + 1 :])
        gates = times(d_gates_g[here], d_here)
        d_q.addmm_(gates[:, g_size:], w_gq)
        if t:
            d_g[walk.previous(t)].addcmul_(d_here, direct_g[here]).addmm_(gates[:, : 3 * g_size], turned_g)
        flat_party.index_copy_(0, speaking, d_q)

    d_queries = torch.bmm(d_scores, states[:, 1 : 1 + past + steps])[plan.row_of, plan.step_of]  # (N, G)
    of_g, of_p, of_e = d_gates_g[:, g_size:], d_gates_p[:, p_size:], d_gates_e[:, e_size:]
    d_inputs = [of_g, of_p]
    d_weights = [of_g.T @ trace.q_before, *state_gradients(d_gates_g, g_before)]
    d_weights += [of_p.T @ trace.contexts, *state_gradients(d_gates_p, trace.q_before)]
    d_weights += [of_e.T @ trace.q_after, of_e.sum(0), *state_gradients(d_gates_e, e_before)]
    if listening:
        d_inputs.append(listening.d_heard)
        d_weights += listening.weight_gradients(trace)
    return d_inputs, d_queries, d_weights


def _columns(weight, steps):
    """The transpose, laid out for the many products of a long scan; copying it does not pay for a short one."""
    return weight.T.contiguous() if steps > 16 else weight.T


def _split_kept(kept, *sizes):
    if kept is None:
        return (None,) * (len(sizes) + 1)
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    return kept.tensor_split(ends, -1)


def _attend(past, query, usable, weights, context):
    """Write attention weights (n, V+t) and their mean (n, G) of `past` (n, V+t, G)."""
    if not past.shape[1]:
        context.zero_()
        return
    scores = torch.bmm(past, query[:, :, None])[..., 0]
    if usable is None:
        torch.softmax(scores, -1, out=weights)
    else:
        valid = F.pad(usable[: len(scores)], (0, scores.shape[1] - usable.shape[1]), value=True)
        weights.copy_(masked_softmax(scores, valid))
    torch.bmm(weights[:, None], past, out=context[:, None])
