"""The fast path of `dialogue_rnn_scan`: one autograd node for the whole recurrence, in plain PyTorch.

What makes it fast: dialogues are sorted by length, so a step touches only those still running (on the CPU; elsewhere
their number would cost a device sync); only the party that speaks is computed; the emotion GRU, which nothing reads
back, runs after the rest; the local derivatives of every gate are formed for all steps at once, so that a step of the
backward pass is one product per GRU and its matrix products; and the weight gradients are one product per matrix at the
very end instead of one per step. Rows of all steps are packed one after the other, N in all.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from mm_emotion.ops.masking import masked_softmax, reading_order


@dataclass(frozen=True)
class _Plan:
    """How the ragged batch is walked: `sizes[t]` dialogues, longest first, are running at step t."""

    sizes: list[int]
    offsets: list[int]
    steps: int  # U of the caller; len(sizes) may be less
    parties: int
    dialogues: Tensor  # (B,) which dialogue each row is
    step_of: Tensor  # (N,) of each packed row
    row_of: Tensor  # (N,)
    real: Tensor | None  # (N, 1) where padded rows are walked too

    def slices(self) -> list[tuple[int, int, slice]]:
        """Step, number of rows, and their place among the packed rows."""
        return [(t, n, slice(o, o + n)) for t, (n, o) in enumerate(zip(self.sizes, self.offsets, strict=True))]


def _make_plan(lengths: Tensor, steps: int, parties: int, shrink: bool) -> _Plan:
    count, device = len(lengths), lengths.device
    if shrink:
        dialogues = torch.argsort(lengths, descending=True, stable=True)
        running = (lengths > torch.arange(steps, device=device)[:, None]).sum(1)  # (U,)
        sizes = running[running > 0].tolist()
    else:
        dialogues, sizes = torch.arange(count, device=device), [count] * steps
    offsets = [sum(sizes[:t]) for t in range(len(sizes))]
    step_of = torch.repeat_interleave(
        torch.arange(len(sizes), device=device), torch.tensor(sizes, device=device), output_size=sum(sizes)
    )
    row_of = torch.arange(sum(sizes), device=device) - torch.tensor(offsets, device=device, dtype=torch.int64)[step_of]
    real = None if shrink else (step_of < lengths[dialogues][row_of])[:, None]
    return _Plan(sizes, offsets, steps, parties, dialogues, step_of, row_of, real)


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
    plan = _make_plan(lengths, inputs.shape[2], num_parties, shrink)
    differentiable = (inputs, queries, *weights)
    save = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in differentiable)
    return _Scan.apply(plan, save, keep, speakers, lengths, keep_mask, *start, *differentiable)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, plan, save, keep, speakers, lengths, keep_mask, history, known, party_states, emotion_state, inputs, queries,
        *weights,
    ):  # fmt: skip
        ways = inputs.shape[0]
        results, saved = [], []
        for way in range(ways):
            walk = _Walk(plan, way, lengths, speakers, inputs.shape[1:3])
            own = weights[way * len(weights) // ways : (way + 1) * len(weights) // ways]
            kept = None if keep_mask is None else walk.pack(keep_mask[way]).to(inputs.dtype).div_(keep)
            start = (history, known, party_states, emotion_state)
            result, trace = _forward(walk, walk.pack(inputs[way]), walk.spread(queries[way]), kept, own, start, save)
            results.append(result)
            saved += [kept, *own, *trace]
        emotion, global_states, parties, attentions = zip(*results, strict=True)
        ctx.plan, ctx.ways, ctx.shape = plan, ways, inputs.shape
        ctx.save_for_backward(speakers, lengths, *saved)
        attentions = torch.stack(attentions)
        ctx.mark_non_differentiable(attentions)
        return torch.cat(emotion, -1), torch.stack(global_states), torch.stack(parties), attentions

    @staticmethod
    @once_differentiable
    def backward(ctx, d_emotion, d_global, d_party, _):
        speakers, lengths, *saved = ctx.saved_tensors
        share = len(saved) // ctx.ways
        # Laid out as one product of all directions gives its result, so that its gradient need not be copied.
        ways, count, steps, width = ctx.shape
        d_inputs = d_emotion.new_zeros(count, steps, ways, width).movedim(2, 0)
        d_queries, d_weights = torch.zeros_like(d_global), []
        for way, d_e in enumerate(d_emotion.chunk(ctx.ways, -1)):
            walk = _Walk(ctx.plan, way, lengths, speakers, ctx.shape[1:3])
            kept, *rest = saved[way * share : (way + 1) * share]
            own, trace = rest[: len(rest) - _TRACE], rest[len(rest) - _TRACE :]
            d_in, d_query, d_own = _backward(walk, walk.pack(d_e), walk.pack(d_global[way]), d_party[way], kept, own, trace)
            for part, out in zip(d_in, d_inputs[way].split([part.shape[1] for part in d_in], -1), strict=True):
                walk.unpack(part, out)
            walk.unpack(d_query, d_queries[way])
            d_weights += d_own
        return (None,) * 10 + (d_inputs, d_queries, *d_weights)


class _Walk:
    """One direction of a plan: where each packed row is read and written."""

    def __init__(self, plan: _Plan, way: int, lengths: Tensor, speakers: Tensor, shape: torch.Size):
        self.plan = plan
        count, steps = shape
        order = reading_order(lengths[plan.dialogues], steps, backward=way == 1)[:, : len(plan.sizes)]  # (B, T)
        self.places = plan.dialogues[:, None] * steps + order  # (B, T) into the flat (B * U)
        self.rows = self.places[plan.row_of, plan.step_of]  # (N,)
        self.order = order
        party = speakers.flatten()[self.rows]
        if plan.real is not None:
            # Padding has a party of its own, so that no state has to be guarded.
            party = torch.where(plan.real[:, 0], party, plan.parties)
        self.parties = plan.row_of * (plan.parties + 1) + party  # (N,) into the flat (B * (Q+1))

    def pack(self, values: Tensor) -> Tensor:
        """(B, U, D) -> (N, D), 0 on padding."""
        packed = values.flatten(0, 1).index_select(0, self.rows)
        return packed if self.plan.real is None else packed.mul_(self.plan.real)

    def spread(self, values: Tensor) -> Tensor:
        """(B, U, D) -> (B, T, D) in the order of walking."""
        return values.flatten(0, 1)[self.places]

    def unpack(self, packed: Tensor, out: Tensor) -> Tensor:
        """Write (N, D) into (B, U, D)."""
        if self.plan.real is not None:
            packed = packed * self.plan.real
        out.flatten(0, 1).index_copy_(0, self.rows, packed)  # a view: the two axes lie one after the other
        return out


_TRACE = 12
"""How many tensors `_forward` saves for `_backward`; some may be None."""


def _forward(walk, x, queries, kept, weights, start, save):
    """(emotion, global, party, attention) in the caller's order, and what the backward pass reads."""
    w_gq, w_gh, b_gh, w_pc, w_pq, b_ph, w_eq, b_ei, w_eh, b_eh, *listener = weights
    plan, total = walk.plan, len(walk.rows)
    count, steps, parties = len(plan.dialogues), len(plan.sizes), plan.parties
    g_size, p_size, e_size = w_gh.shape[1], w_pq.shape[1], w_eh.shape[1]
    history, known, party_states, emotion_state = start
    past = 0 if history is None else history.shape[1]
    # Column 0 is the state before the first step; then the given history, then the new states.
    states = x.new_zeros(count, 1 + past + steps, g_size)
    party = x.new_zeros(count, parties + 1, p_size)
    emotions = x.new_zeros(count + total, e_size)  # the states before the first step, then the packed rows
    usable = None
    if history is not None:
        states[:, 1 : 1 + past] = history[plan.dialogues]
        known = known[plan.dialogues]
        states[:, 0] = states[torch.arange(count, device=known.device), known]
        party[:, :parties] = party_states[0][plan.dialogues]
        emotions[:count] = emotion_state[0][plan.dialogues]
        usable = torch.arange(past, device=known.device) < known[:, None]  # (B, V)
    attention = x.new_zeros(count, steps, past + steps)
    kept_g, kept_p, kept_e, kept_l = _split_kept(kept, g_size, p_size, e_size)
    x_g, x_p, x_l = x.tensor_split([3 * g_size, 3 * g_size + 3 * p_size], -1)
    flat_party, heights = party.view(-1, p_size), total if save else count
    q_before, q_after = x.new_empty(heights, p_size), x.new_empty(total, p_size)
    contexts, gates_g = x.new_empty(heights, g_size), x.new_empty(heights, 4 * g_size)
    gates_p, gates_e = x.new_empty(heights, 4 * p_size), x.new_empty(heights, 4 * e_size)
    party_before = gates_l = None
    if listener:
        w_ls, w_lh, b_lh = listener
        party_before, gates_l = x.new_empty(heights, parties, p_size), x.new_empty(heights, parties, 4 * p_size)
        t_ls, t_lh = _columns(w_ls, steps), _columns(w_lh, steps)
    t_gq, t_gh, t_pc, t_pq, t_eh = (_columns(w, steps) for w in (w_gq, w_gh, w_pc, w_pq, w_eh))
    for t, n, here in plan.slices():
        kept_rows = here if save else slice(0, n)
        speaking = walk.parties[here]
        q, c = q_before[kept_rows], contexts[kept_rows]
        torch.index_select(flat_party, 0, speaking, out=q)
        g, before = states[:n, 1 + past + t], states[:n, past + t if t else 0]
        _gru(torch.addmm(x_g[here], q, t_gq), torch.addmm(b_gh, before, t_gh), before, gates_g[kept_rows], g)
        if kept is not None:
            g.mul_(kept_g[here])
        _attend(states[:n, 1 : 1 + past + t], queries[:n, t], usable, attention[:n, t, : past + t], c)
        new = q_after[here]
        _gru(torch.addmm(x_p[here], c, t_pc), torch.addmm(b_ph, q, t_pq), q, gates_p[kept_rows], new)
        if kept is not None:
            new.mul_(kept_p[here])
        if listener:
            old = party_before[kept_rows].copy_(party[:n, :parties])  # (n, Q, P)
            from_state = torch.addmm(b_lh, old.flatten(0, 1), t_lh).view(n, parties, -1)
            heard = torch.addmm(x_l[here], new, t_ls)[:, None]
            others = torch.empty_like(old)
            _gru(heard, from_state, old, gates_l[kept_rows], others)
            if kept is not None:
                others.mul_(kept_l[here].view(n, parties, p_size))
            party[:n, :parties] = others if plan.real is None else torch.where(plan.real[here, None], others, old)
        flat_party.index_copy_(0, speaking, new)
    e_in = torch.addmm(b_ei, q_after, w_eq.T)
    for t, n, here in plan.slices():
        before = emotions[:n] if t == 0 else emotions[count + plan.offsets[t - 1] :][:n]
        e = emotions[count + here.start : count + here.stop]
        _gru(e_in[here], torch.addmm(b_eh, before, t_eh), before, gates_e[here if save else slice(0, n)], e)
        if kept is not None:
            e.mul_(kept_e[here])
    result = _results(walk, states[:, 1 + past :], party[:, :parties], emotions[count:], attention, past)
    if not save:
        return result, ()
    return result, (
        states, emotions, attention, queries, q_before, q_after, contexts, gates_g, gates_p, gates_e, party_before, gates_l,
    )  # fmt: skip


def _results(walk, states, party, emotions, attention, past):
    plan, (count, steps) = walk.plan, walk.order.shape
    emotion = walk.unpack(emotions, emotions.new_zeros(count, plan.steps, emotions.shape[-1]))
    packed = states[plan.row_of, plan.step_of]
    global_states = walk.unpack(packed, packed.new_zeros(count, plan.steps, packed.shape[-1]))
    weights = walk.unpack(
        _in_order(attention, walk.order, past, plan.steps)[plan.row_of, plan.step_of],
        attention.new_zeros(count, plan.steps, past + plan.steps),
    )
    parties = torch.empty_like(party)
    parties[plan.dialogues] = party
    return emotion, global_states, parties, weights


def _in_order(attention, order, past, steps):
    """Columns of (B, T, V+T) from the order of walking to the caller's, (B, T, V+U)."""
    full = attention.new_zeros(*attention.shape[:2], past + steps)
    full[:, :, :past] = attention[:, :, :past]
    return full.scatter_(2, (past + order)[:, None].expand(-1, attention.shape[1], -1), attention[:, :, past:])


def _backward(walk, d_emotion, d_global, d_party_states, kept, weights, trace):
    """Gradients of the packed inputs (by columns of each GRU), of the packed queries, and of the weights in their order."""
    w_gq, w_gh, _, w_pc, w_pq, _, w_eq, _, w_eh, _, *listener = weights
    states, emotions, attention, queries, q_before, q_after, contexts, gates_g, gates_p, gates_e, party_before, gates_l = trace
    plan, (count, steps) = walk.plan, walk.order.shape
    g_size, p_size, e_size, parties = w_gh.shape[1], w_pq.shape[1], w_eh.shape[1], plan.parties
    past = attention.shape[2] - steps
    kept_g, kept_p, kept_e, kept_l = _split_kept(kept, g_size, p_size, e_size)
    slices = plan.slices()[::-1]

    # A packed row follows the row of the same dialogue one step earlier.
    first = plan.step_of == 0
    earlier = torch.tensor([0, *plan.offsets], device=first.device)[plan.step_of] + plan.row_of
    e_before = emotions[torch.where(first, plan.row_of, count + earlier)]
    d_gates_e, direct = _derivatives(gates_e, e_before, kept_e)
    d_e, turned = d_emotion.clone(), _turn(w_eh)
    for t, n, here in slices:
        gates = _times(d_gates_e[here], d_e[here])
        if t:
            previous = d_e[plan.offsets[t - 1] :][:n]
            previous.addcmul_(d_e[here], direct[here]).addmm_(gates[:, : 3 * e_size], turned)
    d_q_after = d_gates_e[:, e_size:] @ w_eq  # (N, P)

    g_before = states[plan.row_of, torch.where(first, 0, past + plan.step_of)]
    d_gates_g, direct_g = _derivatives(gates_g, g_before, kept_g)
    d_gates_p, direct_p = _derivatives(gates_p, q_before, kept_p)
    d_g, turned_g, turned_p = d_global.clone(), _turn(w_gh), _turn(w_pq)
    d_party = d_party_states.new_zeros(count, parties + 1, p_size)
    d_party[:, :parties] = d_party_states[plan.dialogues]
    flat_party = d_party.view(-1, p_size)
    d_contexts = states.new_zeros(count, steps, g_size)
    d_scores = torch.zeros_like(attention)
    if listener:
        w_ls, w_lh, _ = listener
        d_gates_l, direct_l = _derivatives(gates_l, party_before, None if kept is None else kept_l.unflatten(-1, (parties, -1)))
        d_heard, turned_l = states.new_empty(len(walk.rows), 3 * p_size), _turn(w_lh)
        spoken = walk.parties[:, None] % (parties + 1) == torch.arange(parties, device=first.device)  # (N, Q)
    for t, n, here in slices:
        speaking = walk.parties[here]
        d_q = flat_party.index_select(0, speaking).add_(d_q_after[here])
        if listener:
            d_others = d_party[:n, :parties].contiguous()
            d_others.masked_fill_(spoken[here, :, None], 0)
            if plan.real is not None:
                d_others.mul_(plan.real[here, None])
            gates = _times(d_gates_l[here], d_others)  # (n, Q, 4P)
            torch.sum(gates[..., p_size:], 1, out=d_heard[here])
            d_q.addmm_(d_heard[here], w_ls)
            d_old = torch.addcmul(
                (gates[..., : 3 * p_size].flatten(0, 1) @ turned_l).view(n, parties, -1), d_others, direct_l[here]
            )
            real = True if plan.real is None else plan.real[here, None]
            d_party[:n, :parties] = d_old if real is True else torch.where(real, d_old, d_party[:n, :parties])
        gates = _times(d_gates_p[here], d_q)
        d_c = torch.mm(gates[:, p_size:], w_pc)
        d_contexts[:n, t] = d_c
        d_q = d_q.mul_(direct_p[here]).addmm_(gates[:, : 3 * p_size], turned_p)
        if past + t:
            weights_t = attention[:n, t, : past + t]
            d_weights_t = torch.bmm(states[:n, 1 : 1 + past + t], d_c[:, :, None])[..., 0].mul_(weights_t)
            d_scores[:n, t, : past + t] = d_weights_t.addcmul_(weights_t, d_weights_t.sum(-1, keepdim=True), value=-1)
        d_here = d_g[here]
        if t + 1 < steps:
            # Every later step of a dialogue has read this state, as a value and as a key.
            m = plan.sizes[t + 1]
            d_later = d_here[:m, None]
            d_later.baddbmm_(attention[:m, t + 1 :, past + t][:, None], d_contexts[:m, t + 1 :])
            d_later.baddbmm_(d_scores[:m, t + 1 :, past + t][:, None], queries[:m, t + 1 :])
        gates = _times(d_gates_g[here], d_here)
        d_q.addmm_(gates[:, g_size:], w_gq)
        if t:
            previous = d_g[plan.offsets[t - 1] :][:n]
            previous.addcmul_(d_here, direct_g[here]).addmm_(gates[:, : 3 * g_size], turned_g)
        flat_party.index_copy_(0, speaking, d_q)
    d_queries = torch.bmm(d_scores, states[:, 1 : 1 + past + steps])[plan.row_of, plan.step_of]  # (N, G)
    d_inputs = [d_gates_g[:, g_size:], d_gates_p[:, p_size:]]
    d_gq, _, d_gh, d_bgh = _weight_gradients(d_gates_g, q_before, g_before)
    d_pc, _, d_pq, d_bph = _weight_gradients(d_gates_p, contexts, q_before)
    d_weights = [d_gq, d_gh, d_bgh, d_pc, d_pq, d_bph, *_weight_gradients(d_gates_e, q_after, e_before)]
    if listener:
        d_inputs.append(d_heard)
        flat = d_gates_l.flatten(0, 1)[:, : 3 * p_size]
        d_lh = torch.roll(flat.T @ party_before.flatten(0, 1), -p_size, 0)
        d_weights += [d_heard.T @ q_after, d_lh, torch.roll(flat.sum(0), -p_size, 0)]
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


def _gru(from_input, from_state, before, gates, out):
    """Write the new state and, side by side, h_n, r, z and n; the matrix products are done."""
    size = before.shape[-1]
    h_n, r, z, n = gates.split(size, -1)
    r_z = gates[..., size : 3 * size]
    torch.add(from_input[..., : 2 * size], from_state[..., : 2 * size], out=r_z).sigmoid_()
    h_n.copy_(from_state[..., 2 * size :])
    torch.addcmul(from_input[..., 2 * size :], r, h_n, out=n).tanh_()
    torch.lerp(n, before, z, out=out)


def _derivatives(gates, before, kept):
    """Derivatives of a new state by the pre-activations h_n, r, z, n, side by side, and by the state before."""
    h_n, r, z, n = gates.chunk(4, -1)
    out = torch.empty_like(gates)
    by_h_n, by_r, by_z, by_n = out.chunk(4, -1)
    torch.mul(1 - n.square(), 1 - z, out=by_n)
    torch.mul(before - n, z * (1 - z), out=by_z)
    direct = z.clone()
    if kept is not None:
        for part in (by_n, by_z, direct):
            part.mul_(kept)
    torch.mul(by_n, r, out=by_h_n)
    torch.mul(by_h_n, h_n * (1 - r), out=by_r)
    return out, direct


def _times(gates, d_state):
    """Multiply the four derivatives in place by the gradient of the new state; returns them."""
    gates.unflatten(-1, (4, -1)).mul_(d_state[..., None, :])
    return gates


def _turn(w_h):
    """Rows of a state matrix from the order r, z, n to the order n, r, z, in which its gradients lie."""
    return torch.roll(w_h, w_h.shape[1], 0)


def _weight_gradients(gates, source, before):
    """Gradients of W_i (3H, S), b_i, W_h (3H, H), b_h from those of h_n, r, z, n of all rows, (N, 4H)."""
    size = before.shape[1]
    by_input, by_state = gates[:, size:], gates[:, : 3 * size]
    d_w_h, d_b_h = by_state.T @ before, by_state.sum(0)
    return by_input.T @ source, by_input.sum(0), torch.roll(d_w_h, -size, 0), torch.roll(d_b_h, -size, 0)
