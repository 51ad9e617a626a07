"""`tensor_fusion_linear` on the kernels of the native extension: where they serve, how they differentiate and trace."""

import torch
from torch import Tensor

from mm_emotion.ops._library import has_kernel, kernel_devices, no_second_derivative

# Above, matrix units that only bfloat16 products of PyTorch use outrun kernels that compute in float32.
MOST_HALF_PRECISION_ROWS = 16
HAS_MATRIX_UNITS = torch.backends.cpu.get_cpu_capability() == "AVX512"


def serves(weight: Tensor, rows: int) -> bool:
    """Whether the kernels are there for such a weight and are the fastest for `rows` rows."""
    if not has_kernel(weight):
        return False
    if weight.dtype == torch.bfloat16:
        return rows <= MOST_HALF_PRECISION_ROWS or not HAS_MATRIX_UNITS
    return weight.dtype in (torch.float32, torch.float64)


def native_fusion(xs: list[Tensor], weight: Tensor, bias: Tensor | None) -> Tensor:
    """(B, H) from modalities (B, I-1), (B, J-1) and (B, K-1); bfloat16 is computed in float32."""
    return torch.ops.mm_emotion.tensor_fusion_linear(xs, weight, bias)


def _save(ctx, inputs, output):
    xs, weight, _ = inputs
    ctx.save_for_backward(*xs, weight)


def _backward(ctx, d_out):
    *xs, weight = ctx.saved_tensors
    needs = [*ctx.needs_input_grad[0], ctx.needs_input_grad[1]]
    d_xs, d_weight = torch.ops.mm_emotion.tensor_fusion_linear_backward(d_out, xs, weight, needs)
    d_xs = [d_x if needed else None for d_x, needed in zip(d_xs, needs[:-1], strict=True)]
    return d_xs, d_weight if needs[-1] else None, d_out.sum(0) if ctx.needs_input_grad[2] else None


def _register() -> None:
    @torch.library.register_fake("mm_emotion::tensor_fusion_linear")
    def _(xs, weight, bias):
        return weight.new_empty(xs[0].shape[0], weight.shape[-1])

    @torch.library.register_fake("mm_emotion::tensor_fusion_linear_backward")
    def _(d_out, xs, weight, needs):
        shapes = [tensor.shape if needed else (0,) for tensor, needed in zip([*xs, weight], needs, strict=True)]
        *d_xs, d_weight = (weight.new_empty(shape) for shape in shapes)
        return d_xs, d_weight

    torch.library.register_autograd("mm_emotion::tensor_fusion_linear", _backward, setup_context=_save)
    torch.library.register_autograd("mm_emotion::tensor_fusion_linear_backward", no_second_derivative)
    for device in kernel_devices():
        torch.library.register_autocast("mm_emotion::tensor_fusion_linear", device, torch.bfloat16)


if kernel_devices():
    _register()
