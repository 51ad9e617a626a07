"""The product rule: its formula, its limits, and the native kernel against the reference."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mm_emotion.errors import BatchError
from mm_emotion.ops import kernel_devices, use_reference_ops
from mm_emotion.ops.product_fusion import product_fusion, product_fusion_reference

native = pytest.mark.skipif("cpu" not in kernel_devices(), reason="the native extension is not built")
INF = math.inf


def make(shape=(5, 3, 4), dtype=torch.float64, prior=True, mask=True, ruled_out=0.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    *outer, modalities, classes = shape
    logits = torch.randn(*shape, generator=generator, dtype=torch.float64).log_softmax(-1)
    logits = logits.masked_fill(torch.rand(*shape, generator=generator) < ruled_out, -INF).to(dtype)
    return {
        "log_probs": logits.requires_grad_(),
        "weights": torch.rand(modalities, generator=generator, dtype=torch.float64).to(dtype).requires_grad_(),
        "log_prior": torch.randn(classes, generator=generator).log_softmax(-1).to(dtype) if prior else None,
        "modality_mask": torch.rand(*outer, modalities, generator=generator) < 0.7 if mask else None,
    }


def gradients(function, arguments):
    out = function(**arguments)
    direction = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(out.dtype)
    finite = torch.where(torch.isfinite(out), out, 0)
    total = (finite * direction).sum()
    return torch.autograd.grad(total, (arguments["log_probs"], arguments["weights"]))


def test_the_product_rule_by_hand():
    """Two classifiers, p(c|x1) p(c|x2) / p(c), normalised."""
    first, second, prior = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.1, 0.6, 0.3]), torch.tensor([0.2, 0.3, 0.5])
    expected = first * second / prior
    out = product_fusion(torch.stack([first, second]).log(), torch.ones(2), prior.log())
    torch.testing.assert_close(out.exp(), expected / expected.sum())


@pytest.mark.parametrize("function", [product_fusion, product_fusion_reference])
def test_limits(function):
    one = torch.ones(2)
    certain = torch.tensor([[0.0, -INF, -INF], [-1.0, -1.0, -2.0]])
    assert function(certain, one).tolist() == [0, -INF, -INF]
    contradiction = torch.tensor([[0.0, -INF], [-INF, 0.0]])
    torch.testing.assert_close(function(contradiction, one).exp(), torch.full((2,), 0.5))
    weightless = function(torch.tensor([[0.0, -INF], [-1.0, -1.0]]), torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(weightless.exp(), torch.full((2,), 0.5))
    prior, absent = torch.tensor([0.9, 0.1]), torch.zeros(2, dtype=torch.bool)
    torch.testing.assert_close(function(contradiction, one, prior.log(), absent).exp(), prior)
    impossible = torch.tensor([0.0, -INF])
    assert function(torch.tensor([[-1.0, -0.5]]), one[:1], impossible).tolist() == [0, -INF]


@pytest.mark.parametrize("function", [product_fusion, product_fusion_reference])
def test_what_is_no_log_probability_does_not_pass_for_one(function):
    too_much = torch.tensor([[INF, -1.0], [-1.0, -1.0]])
    assert function(too_much, torch.ones(2)).isnan().any()
    assert function(torch.zeros(1, 2), torch.ones(1), torch.tensor([INF, 0.0])).isnan().any()


def test_a_constant_added_to_a_row_changes_nothing():
    arguments = make()
    shifted = {**arguments, "log_probs": arguments["log_probs"] + 3}
    torch.testing.assert_close(product_fusion(**shifted), product_fusion(**arguments))


@native
@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 3), max_size=2),
    st.integers(1, 8),
    st.integers(1, 9),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.4]),
    st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_the_kernel_equals_the_reference(outer, modalities, classes, prior, mask, ruled_out, dtype):
    shape = (*outer, modalities, classes)
    arguments = make(shape, dtype, prior, mask, ruled_out)
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 3e-2}[dtype]
    expected = product_fusion_reference(**arguments)
    torch.testing.assert_close(product_fusion(**arguments), expected, atol=tolerance, rtol=tolerance)
    found, wanted = gradients(product_fusion, arguments), gradients(product_fusion_reference, arguments)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=5 * tolerance, rtol=tolerance)


@native
def test_a_class_ruled_out_by_a_modality_of_no_weight_keeps_its_gradient():
    arguments = make((6, 2, 5), ruled_out=0.4, mask=False)
    with torch.no_grad():
        arguments["weights"][0] = 0
    found, wanted = gradients(product_fusion, arguments), gradients(product_fusion_reference, arguments)
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)


@native
def test_many_rows_are_split_and_give_the_same_gradient_each_time():
    arguments = make((9001, 2, 3), torch.float32)
    first, second = gradients(product_fusion, arguments), gradients(product_fusion, arguments)
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))
    for one, other in zip(first, gradients(product_fusion_reference, arguments), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@native
def test_views_with_an_offset_are_read_as_they_are():
    arguments = make((4, 3, 5), mask=False)
    storage = torch.zeros(5, 6, 8, dtype=torch.float64)
    view = storage[1:5, ::2, 2:7]
    view.copy_(arguments["log_probs"].detach())
    assert not view.is_contiguous()
    torch.testing.assert_close(product_fusion(**{**arguments, "log_probs": view}), product_fusion(**arguments))


@native
@pytest.mark.parametrize("mask", [True, False])
def test_gradcheck(mask):
    arguments = make((3, 2, 4), mask=mask)

    def run(log_probs, weights):
        return product_fusion(log_probs, weights, arguments["log_prior"], arguments["modality_mask"])

    assert torch.autograd.gradcheck(run, (arguments["log_probs"], arguments["weights"]))


@native
def test_opcheck():
    arguments = tuple(make().values())
    torch.library.opcheck(torch.ops.mm_emotion.product_fusion.default, arguments)


@native
def test_compiles_whole_forward_and_backward():
    compiled = torch.compile(product_fusion, fullgraph=True, backend="aot_eager", dynamic=True)
    for rows in (3, 5):
        arguments = make((rows, 2, 4))
        torch.testing.assert_close(compiled(**arguments), product_fusion(**arguments))
        for one, other in zip(gradients(compiled, arguments), gradients(product_fusion, arguments), strict=True):
            torch.testing.assert_close(one, other)


@native
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-6), (torch.bfloat16, 1e-2)])
def test_error_against_double_precision(dtype, limit):
    """Sums over many rows as well, which bfloat16 alone could not hold."""
    arguments = make((3000, 3, 7), dtype)
    exact = {name: value.detach().double() if name != "modality_mask" else value for name, value in arguments.items()}
    exact["log_probs"].requires_grad_(), exact["weights"].requires_grad_()
    expected = product_fusion_reference(**exact)
    direction = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    leaves = "log_probs", "weights"
    out = product_fusion(**arguments)
    found = [out, *torch.autograd.grad(out, [arguments[name] for name in leaves], direction)]
    wanted = [expected, *torch.autograd.grad(expected, [exact[name] for name in leaves], direction.double())]
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == dtype
        assert ((one.double() - other).norm() / other.norm()).item() < limit


@native
def test_a_result_depends_neither_on_the_thread_count_nor_on_chance():
    arguments = make((9001, 2, 3), torch.float32)
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            found.append([product_fusion(**arguments), *gradients(product_fusion, arguments)])
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(one, two) for one, two in zip(found[0], other, strict=True))


@native
def test_every_value_of_a_result_is_written():
    """Fresh memory is NaN here."""
    for shape in ((37, 3, 5), (0, 2, 3)):
        arguments = make(shape, torch.float32, ruled_out=0.3)
        expected = [product_fusion(**arguments), *gradients(product_fusion, arguments)]
        torch.use_deterministic_algorithms(True)
        try:
            assert torch.empty(1).isnan()
            found = [product_fusion(**arguments), *gradients(product_fusion, arguments)]
        finally:
            torch.use_deterministic_algorithms(False)
        assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@native
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_thousand_calls_leave_no_memory_behind():
    arguments = make((200, 3, 7), torch.float32)

    def pages(calls):
        for _ in range(calls):
            gradients(product_fusion, arguments)
        return int(Path("/proc/self/statm").read_text().split()[1])

    before = pages(100)
    # The gradient of the log posteriors alone takes 17 KB.
    assert pages(1000) - before < 1000


@native
def test_autocast_computes_in_single_precision():
    arguments = make((3, 2, 4), torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        assert product_fusion(**arguments).dtype == torch.float32


@native
def test_a_second_derivative_names_the_way_out():
    arguments = make((3, 2, 4))
    total = product_fusion(**arguments).square().sum()
    (first,) = torch.autograd.grad(total, arguments["log_probs"], create_graph=True)
    with pytest.raises(NotImplementedError, match=r"use_reference_ops\(\)"):
        first.square().sum().backward()
    with use_reference_ops():
        total = product_fusion(**arguments).square().sum()
        (first,) = torch.autograd.grad(total, arguments["log_probs"], create_graph=True)
        first.square().sum().backward()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("log_probs", torch.zeros(3)),
        ("log_probs", torch.zeros(2, 9, 3)),
        ("log_probs", torch.zeros(5, 3, 4, dtype=torch.int64)),
        ("weights", torch.zeros(2)),
        ("weights", torch.zeros(3, dtype=torch.float32)),
        ("weights", torch.zeros(3, dtype=torch.float64, device="meta")),
        ("log_prior", torch.zeros(3, dtype=torch.float64)),
        ("modality_mask", torch.ones(5, 3)),
        ("modality_mask", torch.ones(4, 3, dtype=torch.bool)),
    ],
)
def test_a_wrong_argument_is_named(name, value):
    with pytest.raises(BatchError, match=f"^{name}"):
        product_fusion(**{**make(), name: value})


@native
def test_a_direct_call_is_refused_as_well():
    given = make()
    with pytest.raises(RuntimeError, match="weights: expected shape"):
        torch.ops.mm_emotion.product_fusion(given["log_probs"], given["weights"][1:], None, None)
    with pytest.raises(RuntimeError, match="modality_mask: expected dtype bool"):
        torch.ops.mm_emotion.product_fusion(given["log_probs"], given["weights"], None, torch.ones(5, 3))
