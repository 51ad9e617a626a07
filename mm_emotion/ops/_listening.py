"""The backward pass of the listener GRU of DialogueRNN."""

import torch

from mm_emotion.ops._gru import derivatives, state_gradients, times, turn


class Listening:
    """Gradients of the GRU that moves every party but the one that speaks, of one direction."""

    def __init__(self, walk, weights, kept, trace):
        plan, self.real = walk.plan, walk.plan.real
        self.w_ls, self.turned = weights[0], turn(weights[1])
        kept = None if kept is None else kept.unflatten(-1, (plan.parties, -1))
        self.d_gates, self.direct = derivatives(trace.gates_l, trace.party_before, kept)  # (N, Q, 4P), (N, Q, P)
        self.d_heard = trace.q_after.new_empty(len(walk.rows), 3 * trace.q_after.shape[1])
        parties = torch.arange(plan.parties, device=walk.parties.device)
        self.spoken = (walk.parties[:, None] % (plan.parties + 1) == parties)[..., None]  # (N, Q, 1)

    def back(self, here, d_party, d_q):
        """One step: replace the gradient of the parties (n, Q, P) by that before the step, and add to the speaker's."""
        size = d_q.shape[1]
        d_others = d_party.masked_fill(self.spoken[here], 0)
        if self.real is not None:
            d_others.mul_(self.real[here, None])
        gates = times(self.d_gates[here], d_others)  # (n, Q, 4P)
        torch.sum(gates[..., size:], 1, out=self.d_heard[here])
        d_q.addmm_(self.d_heard[here], self.w_ls)
        d_others.mul_(self.direct[here]).add_((gates[..., : 3 * size].flatten(0, 1) @ self.turned).view_as(d_others))
        d_party.copy_(d_others if self.real is None else torch.where(self.real[here, None], d_others, d_party))

    def weight_gradients(self, trace):
        of_state = state_gradients(self.d_gates.flatten(0, 1), trace.party_before.flatten(0, 1))
        return [self.d_heard.T @ trace.q_after, *of_state]
