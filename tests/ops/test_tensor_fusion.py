"""The fused outer product: its formula, its gradients, and what it must never build."""

from unittest import mock

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mm_emotion.errors import BatchError
from mm_emotion.ops import tensor_fusion, use_reference_ops
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear, tensor_fusion_linear_reference


def reassociated(xs, weight, bias=None):
    """`tensor_fusion_linear` as it runs without a kernel."""
    with mock.patch.object(tensor_fusion, "serves", return_value=False):
        return tensor_fusion_linear(xs, weight, bias)


def make(outer=(3,), sizes=(4, 2, 3), outputs=5, dtype=torch.float64, bias=True):
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    weight = leaf(*(size + 1 for size in sizes), outputs)
    return [leaf(*outer, size) for size in sizes], weight, leaf(outputs) if bias else None


@pytest.mark.parametrize("function", [tensor_fusion_linear, reassociated, tensor_fusion_linear_reference])
def test_equals_a_linear_layer_on_the_kronecker_product(function):
    xs, weight, bias = make()
    linear = torch.nn.Linear(5 * 3 * 4, 5, dtype=torch.float64)
    with torch.no_grad():
        linear.weight.copy_(weight.permute(3, 0, 1, 2).flatten(1))
        linear.bias.copy_(bias)
    one = torch.ones(1, dtype=torch.float64)
    for row in range(3):
        t, a, v = (torch.cat([one, x[row]]) for x in xs)
        expected = linear(torch.kron(torch.kron(t, a), v))
        torch.testing.assert_close(function(xs, weight, bias)[row], expected)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(0, 3), max_size=3),
    st.lists(st.integers(0, 5), min_size=2, max_size=3),
    st.integers(1, 4),
    st.booleans(),
)
def test_values_and_gradients_equal_the_reference(outer, sizes, outputs, bias):
    arguments = make(tuple(outer), tuple(sizes), outputs, bias=bias)
    xs, weight, given_bias = arguments
    leaves = [*xs, weight, *([given_bias] if bias else [])]
    results = []
    for function in (tensor_fusion_linear_reference, tensor_fusion_linear, reassociated):
        out = function(*arguments)
        assert out.shape == (*outer, outputs)
        results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    for expected, *others in zip(*results, strict=True):
        for other in others:
            torch.testing.assert_close(other, expected)


@pytest.mark.parametrize("sizes", [(4, 2), (4, 2, 3)])
def test_gradcheck_once_and_twice(sizes):
    xs, weight, bias = make(sizes=sizes)

    def run(weight, bias, *xs):
        return reassociated(list(xs), weight, bias)

    assert torch.autograd.gradcheck(run, (weight, bias, *xs))
    assert torch.autograd.gradgradcheck(run, (weight, bias, *xs))


@pytest.mark.parametrize("function", [tensor_fusion_linear, reassociated])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_error_against_double_precision(dtype, limit, function):
    xs, weight, bias = make((24,), (32, 16, 16), 8, dtype)
    expected = tensor_fusion_linear_reference([x.double() for x in xs], weight.double(), bias.double())
    out = function(xs, weight, bias).double()
    assert ((out - expected).norm() / expected.norm()).item() < limit


class Largest(TorchDispatchMode):
    """The largest tensor that any operation returns."""

    def __init__(self):
        super().__init__()
        self.size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        self.size = max([self.size, *(leaf.numel() for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor))])
        return out


@pytest.mark.parametrize("function", [tensor_fusion_linear, reassociated])
def test_the_outer_product_never_exists(function):
    xs, weight, bias = make((50,), (8, 8, 8), 4)
    with Largest() as largest:
        function(xs, weight, bias).sum().backward()
    assert largest.size <= max(50 * 81, weight.numel()) < 50 * 9**3
    with Largest() as largest:
        tensor_fusion_linear_reference(xs, weight, bias)
    assert largest.size == 50 * 9**3


def test_compiles_whole_with_any_batch():
    compiled = torch.compile(tensor_fusion_linear, fullgraph=True, backend="aot_eager", dynamic=True)
    for rows in (3, 6):
        arguments = make((rows,))
        out = compiled(*arguments)
        torch.testing.assert_close(out, tensor_fusion_linear(*arguments))
        out.sum().backward()
        assert arguments[1].grad is not None


@pytest.mark.parametrize("function", [tensor_fusion_linear, reassociated])
def test_autocast_multiplies_in_low_precision(function):
    xs, weight, bias = make(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = function([x.bfloat16() for x in xs], weight, bias)
    assert mixed.dtype == torch.bfloat16
    torch.testing.assert_close(mixed.float(), tensor_fusion_linear(xs, weight, bias), atol=0.2, rtol=0.05)


def test_the_switch_selects_the_reference():
    xs, weight, bias = make((50,), (8, 8, 8))
    with use_reference_ops(), Largest() as largest:
        tensor_fusion_linear(xs, weight, bias)
    assert largest.size == 50 * 9**3


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("xs: ", lambda xs, weight, bias: (xs[:1], weight, bias)),
        (r"xs\[1\]", lambda xs, weight, bias: ([xs[0], xs[1][:2], xs[2]], weight, bias)),
        (r"xs\[2\]", lambda xs, weight, bias: ([*xs[:2], xs[2].float()], weight, bias)),
        (r"xs\[0\]", lambda xs, weight, bias: ([xs[0].to("meta"), *xs[1:]], weight, bias)),
        ("weight", lambda xs, weight, bias: (xs, weight[0], bias)),
        ("weight", lambda xs, weight, bias: (xs, weight.detach().long(), bias)),
        ("bias", lambda xs, weight, bias: (xs, weight, bias[1:])),
    ],
)
def test_a_wrong_argument_is_named(name, change):
    with pytest.raises(BatchError, match=f"^{name}"):
        tensor_fusion_linear(*change(*make()))
