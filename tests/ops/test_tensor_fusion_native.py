"""What only the native tensor fusion promises: its precisions, instruction sets, tracing, and refusals."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mm_emotion.ops import kernel_devices, use_reference_ops
from mm_emotion.ops._library import LIBRARY
from mm_emotion.ops._tensor_fusion_native import native_fusion
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear, tensor_fusion_linear_reference

pytestmark = pytest.mark.skipif("cpu" not in kernel_devices(), reason="the native extension is not built")

# Fill no vector, several tiles of the batch, several blocks of the inner product.
ODD = {"rows": 131, "sizes": (6, 22, 24), "outputs": 43}


def make(rows=3, sizes=(4, 2, 3), outputs=5, dtype=torch.float64, bias=True):
    generator = torch.Generator().manual_seed(0)

    def leaf(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()

    weight = leaf(*(size + 1 for size in sizes), outputs)
    return [leaf(rows, size) for size in sizes], weight, leaf(outputs) if bias else None


def results(function, xs, weight, bias):
    """The output and all gradients."""
    out = function(xs, weight, bias)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(out.dtype)
    leaves = [*xs, weight, *([] if bias is None else [bias])]
    return [out, *torch.autograd.grad(out, leaves, direction)]


def distance(one, other):
    return ((one.double() - other.double()).norm() / other.double().norm().clamp(min=1e-30)).item()


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from([0, 1, 2, 13, 15, 33]),
    st.lists(st.sampled_from([0, 1, 2, 5, 16]), min_size=2, max_size=3),
    st.sampled_from([1, 3, 16, 32, 37]),
    st.booleans(),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_values_and_gradients_equal_the_reference(rows, sizes, outputs, bias, dtype):
    arguments = make(rows, tuple(sizes), outputs, dtype, bias)
    tolerance = 1e-11 if dtype == torch.float64 else 1e-4
    for one, other in zip(
        results(native_fusion, *arguments), results(tensor_fusion_linear_reference, *arguments), strict=True
    ):
        torch.testing.assert_close(one, other, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("sizes", [(6, 22, 24), (600, 21)])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float64, 1e-14), (torch.float32, 1e-6), (torch.bfloat16, 3e-3)])
def test_error_against_double_precision(dtype, limit, sizes):
    arguments = make(ODD["rows"], sizes, ODD["outputs"], dtype)
    *xs, weight, bias = (tensor.detach().double().requires_grad_() for tensor in (*arguments[0], *arguments[1:]))
    expected = results(tensor_fusion_linear_reference, xs, weight, bias)
    found = results(native_fusion, *arguments)
    assert all(one.dtype == dtype for one in found)
    assert max(map(distance, found, expected)) < limit


def test_many_rows_make_the_weight_gradient_in_stretches():
    arguments = make(1100, (3, 5, 4), 9)
    for one, other in zip(
        results(native_fusion, *arguments), results(tensor_fusion_linear_reference, *arguments), strict=True
    ):
        torch.testing.assert_close(one, other)


def test_views_with_an_offset_are_read_as_they_are():
    xs, weight, bias = make(6)
    views = []
    for tensor in (*xs, weight, bias):
        storage = torch.zeros(*(2 * size + 3 for size in tensor.shape), dtype=torch.float64)
        view = storage[tuple(slice(3, None, 2) for _ in tensor.shape)]
        assert view.storage_offset() and not view.is_contiguous()
        views.append(view.copy_(tensor.detach()).requires_grad_())
    *x_views, weight_view, bias_view = views
    backwards = torch.empty(5, 6, dtype=torch.float64).t()
    d_out = torch.randn(6, 5, dtype=torch.float64)
    backwards.copy_(d_out)
    found = torch.autograd.grad(native_fusion(x_views, weight_view, bias_view), views, backwards)
    expected = torch.autograd.grad(native_fusion(xs, weight, bias), [*xs, weight, bias], d_out)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_result_depends_neither_on_the_thread_count_nor_on_chance():
    arguments = make(**ODD, dtype=torch.float32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            found.append(results(native_fusion, *arguments))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@pytest.mark.parametrize("sizes", [(4, 2), (4, 2, 3)])
def test_gradcheck(sizes):
    xs, weight, bias = make(sizes=sizes)

    def run(weight, bias, *xs):
        return tensor_fusion_linear(list(xs), weight, bias)

    assert torch.autograd.gradcheck(run, (weight, bias, *xs))


def test_only_what_is_needed_is_computed():
    xs, weight, bias = make()
    d_out = torch.ones(3, 5, dtype=torch.float64)
    wanted = torch.autograd.grad(native_fusion(xs, weight, bias), [*xs, weight, bias], d_out)
    for index in range(5):
        leaves = [leaf.detach().requires_grad_(at == index) for at, leaf in enumerate((*xs, weight, bias))]
        native_fusion(leaves[:3], *leaves[3:]).backward(d_out)
        torch.testing.assert_close(leaves[index].grad, wanted[index])
        assert all(leaf.grad is None for at, leaf in enumerate(leaves) if at != index)
    detached = [x.detach() for x in xs]
    backward = torch.ops.mm_emotion.tensor_fusion_linear_backward
    d_xs, d_weight = backward(d_out, detached, weight.detach(), [False, True, False, False])
    assert [d_x.numel() for d_x in d_xs] == [0, 6, 0] and d_weight.numel() == 0


FORWARD_AND_BACKWARD = """
import sys
import torch
from safetensors.torch import load_file, save_file

library, folder = sys.argv[1:]
torch.ops.load_library(library)
found = {}
for dtype in (torch.float32, torch.bfloat16):
    *xs, weight, bias, d_out = (tensor.to(dtype) for tensor in load_file(folder + "/given.safetensors").values())
    out = torch.ops.mm_emotion.tensor_fusion_linear(xs, weight, bias)
    d_xs, d_weight = torch.ops.mm_emotion.tensor_fusion_linear_backward(d_out, xs, weight, [True] * 4)
    found |= {f"{dtype} {index}": result.float() for index, result in enumerate([out, *d_xs, d_weight])}
save_file(found, folder + "/found.safetensors")
"""


def test_every_instruction_set_gives_the_same(tmp_path):
    xs, weight, bias = make(**ODD, dtype=torch.float32)
    d_out = torch.randn(ODD["rows"], ODD["outputs"], generator=torch.Generator().manual_seed(1))
    given = [*(x.detach() for x in xs), weight.detach(), bias.detach(), d_out]
    save_file({str(index): tensor for index, tensor in enumerate(given)}, tmp_path / "given.safetensors")
    for instructions in ("avx2", "baseline"):
        environment = os.environ | {"MM_EMOTION_CPU": instructions}
        command = [sys.executable, "-c", FORWARD_AND_BACKWARD, str(LIBRARY), str(tmp_path)]
        subprocess.run(command, env=environment, check=True)
        found = load_file(tmp_path / "found.safetensors")
        for dtype, limit in ((torch.float32, 1e-6), (torch.bfloat16, 1e-3)):  # some values are rounded the other way
            leaves = [tensor.to(dtype).requires_grad_() for tensor in given[:-1]]
            out = native_fusion(leaves[:3], *leaves[3:])
            expected = [out, *torch.autograd.grad(out, leaves[:4], given[-1].to(dtype))]
            for index, tensor in enumerate(expected):
                assert distance(found[f"{dtype} {index}"], tensor) < limit


@pytest.mark.parametrize("sizes", [(4, 2), (4, 2, 3)])
def test_opcheck(sizes):
    xs, weight, bias = make(sizes=sizes)
    torch.library.opcheck(torch.ops.mm_emotion.tensor_fusion_linear.default, (xs, weight, bias))
    needs = [True, False, True, True][: len(xs) + 1]
    arguments = (torch.ones(3, 5, dtype=torch.float64), [x.detach() for x in xs], weight.detach(), needs)
    torch.library.opcheck(torch.ops.mm_emotion.tensor_fusion_linear_backward.default, arguments)


def test_compiles_whole_with_any_batch():
    compiled = torch.compile(tensor_fusion_linear, fullgraph=True, backend="aot_eager", dynamic=True)
    for rows in (3, 6):
        arguments = make(rows)
        for one, other in zip(results(compiled, *arguments), results(tensor_fusion_linear, *arguments), strict=True):
            torch.testing.assert_close(one, other)


def test_a_second_derivative_names_the_way_out():
    xs, weight, bias = make()
    total = tensor_fusion_linear(xs, weight, bias).square().sum()
    (first,) = torch.autograd.grad(total, weight, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"use_reference_ops\(\)"):
        first.square().sum().backward()
    with use_reference_ops():
        total = tensor_fusion_linear(xs, weight, bias).square().sum()
        (first,) = torch.autograd.grad(total, weight, create_graph=True)
        first.square().sum().backward()


def test_autocast_rounds_the_arguments_only():
    xs, weight, bias = make(dtype=torch.float32)
    rounded = [x.bfloat16() for x in xs], weight.bfloat16(), bias.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        out = tensor_fusion_linear([xs[0].bfloat16(), *xs[1:]], weight, bias)
        direct = torch.ops.mm_emotion.tensor_fusion_linear(xs, weight, bias)
        (d_weight,) = torch.autograd.grad(out.sum(), weight)
    assert d_weight.dtype == torch.float32
    expected = tensor_fusion_linear(*rounded)
    assert expected.dtype == torch.bfloat16
    assert torch.equal(out, expected) and torch.equal(direct, expected)


def test_every_value_of_a_result_is_written():
    """Fresh memory is NaN here."""
    for arguments in (make(**ODD, dtype=torch.float32), make(0), make(3, (0, 2))):
        expected = results(native_fusion, *arguments)
        torch.use_deterministic_algorithms(True)
        try:
            assert torch.empty(1).isnan()
            found = results(native_fusion, *arguments)
        finally:
            torch.use_deterministic_algorithms(False)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


PEAK = """
import resource
import sys
import torch

torch.ops.load_library(sys.argv[1])


def peak(rows):
    xs, d_out = [torch.randn(rows, 16) for _ in range(3)], torch.randn(rows, 8)
    torch.ops.mm_emotion.tensor_fusion_linear(xs, weight, None)
    torch.ops.mm_emotion.tensor_fusion_linear_backward(d_out, xs, weight, [True] * 4)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


weight = torch.randn(17, 17, 17, 8)
print(-peak(2) + peak(2000))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_thousand_calls_leave_no_memory_behind():
    arguments = make(16, (8, 8, 8), 16, torch.float32)

    def pages(calls):
        for _ in range(calls):
            results(native_fusion, *arguments)
        return int(Path("/proc/self/statm").read_text().split()[1])

    before = pages(100)
    # The gradient of the weight alone takes 46 KB.
    assert pages(1000) - before < 1000


def test_memory_does_not_grow_with_the_outer_product():
    """Not the tensors alone: also the scratch memory of the kernels, seen as the peak of a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", PEAK, str(LIBRARY)], env=environment, check=True, capture_output=True, text=True
    )
    outer_product = 2000 * 17**3 * 4 / 1024
    assert int(found.stdout) < outer_product / 4


def test_a_direct_call_is_refused_as_well():
    xs, weight, bias = make()
    fuse, backward = torch.ops.mm_emotion.tensor_fusion_linear, torch.ops.mm_emotion.tensor_fusion_linear_backward
    d_out = torch.zeros(3, 5, dtype=torch.float64)
    for message, call in {
        "xs: expected two or three": lambda: fuse(xs[:1], weight, bias),
        "weight: expected 4 axes": lambda: fuse(xs, weight[0], bias),
        r"xs: expected shape \(3, 2, \)": lambda: fuse([xs[0], xs[0], xs[2]], weight, bias),
        "xs: expected dtype of weight": lambda: fuse([x.float() for x in xs], weight, bias),
        "bias: expected shape": lambda: fuse(xs, weight, bias[1:]),
        "weight: expected float32": lambda: fuse([x.half() for x in xs], weight.half(), None),
        "d_out: expected shape": lambda: backward(d_out[1:], xs, weight, [True] * 4),
        "needs: expected 4 values": lambda: backward(d_out, xs, weight, [True] * 3),
    }.items():
        with pytest.raises(RuntimeError, match=message):
            call()
