"""A GRU step and its derivatives, in the convention of torch.nn.GRUCell, on preallocated rows.

Gates lie side by side as h_n, r, z, n: the last three are then the rows r, z, n of the input matrix as they stand, and
the first three those of the state matrix but for a turn.
"""

import torch
from torch import Tensor


def gru(from_input: Tensor, from_state: Tensor, before: Tensor, gates: Tensor, out: Tensor) -> None:
    """Write the new state into `out` (..., H) and the gates (..., 4H); the matrix products (..., 3H) are done."""
    size = before.shape[-1]
    h_n, r, z, n = gates.split(size, -1)
    r_z = gates[..., size : 3 * size]
    torch.add(from_input[..., : 2 * size], from_state[..., : 2 * size], out=r_z).sigmoid_()
    h_n.copy_(from_state[..., 2 * size :])
    torch.addcmul(from_input[..., 2 * size :], r, h_n, out=n).tanh_()
    torch.lerp(n, before, z, out=out)


def derivatives(gates: Tensor, before: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
    """Derivatives of the kept new state by the pre-activations of the gates (..., 4H), and directly by `before`."""
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


def times(gates: Tensor, d_state: Tensor) -> Tensor:
    """The derivatives (..., 4H) multiplied in place by the gradient of the new state (..., H)."""
    gates.unflatten(-1, (4, -1)).mul_(d_state[..., None, :])
    return gates


def turn(w_h: Tensor) -> Tensor:
    """Rows of a state matrix (3H, H) from the order r, z, n to the order n, r, z, in which its gradients lie."""
    return torch.roll(w_h, w_h.shape[1], 0)


def state_gradients(gates: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of W_h (3H, H) and b_h (3H,) from those of the gates of all rows, (N, 4H)."""
    size = before.shape[1]
    d_state = gates[:, : 3 * size]
    return torch.roll(d_state.T @ before, -size, 0), torch.roll(d_state.sum(0), -size, 0)
