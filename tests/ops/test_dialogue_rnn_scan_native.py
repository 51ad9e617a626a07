"""What only the native scan promises: its precisions, instruction sets, tracing, and refusals."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mm_emotion.errors import BatchError
from mm_emotion.ops import kernel_devices, use_reference_ops
from mm_emotion.ops._library import LIBRARY
from mm_emotion.ops.dialogue_rnn_scan import dialogue_rnn_scan, dialogue_rnn_scan_reference

pytestmark = pytest.mark.skipif("cpu" not in kernel_devices(), reason="the native extension is not built")


def make(dtype=torch.float64, sizes=(4, 3, 2), lengths=(5, 2, 4), directions=2, parties=2, listener=False):
    """Random arguments, the same for every dtype but for rounding."""
    generator = torch.Generator().manual_seed(3)
    g, p, e = sizes
    count, steps = len(lengths), max(lengths, default=0)

    def leaf(*shape):
        values = torch.randn(*shape, generator=generator, dtype=torch.float64) * 0.3
        return values.to(dtype).requires_grad_()

    shapes = [(3 * g, p), (3 * g, g), (3 * g,), (3 * p, g), (3 * p, p), (3 * p,)]
    shapes += [(3 * e, p), (3 * e,), (3 * e, e), (3 * e,)]
    shapes += [(3 * p, p), (3 * p, p), (3 * p,)] if listener else []
    return {
        "inputs": leaf(directions, count, steps, 3 * g + (6 if listener else 3) * p),
        "queries": leaf(directions, count, steps, g),
        "speakers": torch.randint(0, parties, (count, steps), generator=generator),
        "lengths": torch.tensor(lengths, dtype=torch.int64),
        "weights": [leaf(*shape) for _ in range(directions) for shape in shapes],
        "num_parties": parties,
    }


def gradients(output, arguments, **options):
    generator = torch.Generator().manual_seed(9)
    total = 0
    for states in output[:3]:
        direction = torch.randn(states.shape, generator=generator, dtype=torch.float64)
        total = total + (states * direction.to(states.dtype)).sum()
    return torch.autograd.grad(total, [arguments["inputs"], arguments["queries"], *arguments["weights"]], **options)


def distance(one, other):
    return ((one.double() - other.double()).norm() / other.double().norm().clamp(min=1e-30)).item()


@pytest.mark.parametrize("listener", [False, True])
@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2)])
def test_error_against_double_precision(dtype, limit, listener):
    """Sizes that fill no vector, and more rows than a tile holds."""
    lengths = [9, 1, 7, 7, 3, 5, 9, 2, 6, 8, 4, 1, 9, 9, 5, 3, 7, 8]
    options = {"sizes": (37, 21, 19), "lengths": lengths, "parties": 9, "listener": listener}
    arguments = make(dtype, **options)
    # What is compared is the arithmetic, not the rounding of the arguments.
    exact = make(torch.float64, **options)
    for name in ("inputs", "queries"):
        exact[name] = arguments[name].detach().double().requires_grad_()
    exact["weights"] = [weight.detach().double().requires_grad_() for weight in arguments["weights"]]
    expected, output = dialogue_rnn_scan_reference(**exact), dialogue_rnn_scan(**arguments)
    assert all(states.dtype == dtype for states in output)
    assert max(map(distance, output, expected)) < limit
    assert max(map(distance, gradients(output, arguments), gradients(expected, exact))) < limit


def test_a_result_depends_neither_on_the_thread_count_nor_on_chance():
    arguments = make(torch.float32, (20, 16, 12), tuple(range(1, 31)))
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            results.append(dialogue_rnn_scan(**arguments)[:3])
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))


@pytest.mark.parametrize("lengths", [(), (0, 0), (1,)])
def test_degenerate_batches(lengths):
    arguments = make(lengths=lengths)
    output, expected = dialogue_rnn_scan(**arguments), dialogue_rnn_scan_reference(**arguments)
    for one, other in zip(output, expected, strict=True):
        torch.testing.assert_close(one, other)
    if sum(lengths):
        assert all(torch.isfinite(gradient).all() for gradient in gradients(output, arguments))


FORWARD_AND_CHAIN = """
import sys
import torch
from safetensors.torch import load_file, save_file

library, folder = sys.argv[1:]
torch.ops.load_library(library)
given = load_file(folder + "/given.safetensors")
inputs, queries, speakers, lengths = (given.pop(name) for name in ("inputs", "queries", "speakers", "lengths"))
weights = [given[f"{index:02}"] for index in range(len(given))]
shared = speakers, lengths, weights, None, 1.0, 2, None, None
out = torch.ops.mm_emotion.dialogue_rnn_scan(inputs, queries, *shared, None, None, True)
ones = [torch.ones_like(states) for states in out[:3]]
chain = torch.ops.mm_emotion.dialogue_rnn_scan_chain(*ones, queries, *shared, out[1], out[3], out[4])
save_file({str(index): result for index, result in enumerate([*out[:4], *chain[:2]])}, folder + "/found.safetensors")
"""


def test_every_instruction_set_gives_the_same(tmp_path):
    arguments = make(torch.float32, (37, 21, 19), (4, 6, 1, 5, 6, 3, 2))
    given = {name: arguments[name].detach() for name in ("inputs", "queries", "speakers", "lengths")}
    given |= {f"{index:02}": weight.detach() for index, weight in enumerate(arguments["weights"])}
    save_file(given, tmp_path / "given.safetensors")
    found = []
    for instructions in ("", "avx2", "baseline"):
        environment = os.environ | {"MM_EMOTION_CPU": instructions}
        command = [sys.executable, "-c", FORWARD_AND_CHAIN, str(LIBRARY), str(tmp_path)]
        subprocess.run(command, env=environment, check=True)
        found.append(load_file(tmp_path / "found.safetensors"))
    torch.testing.assert_close(found[0]["1"], dialogue_rnn_scan(**arguments).global_states.detach())
    for other in found[1:]:
        assert all(distance(other[name], expected) < 1e-6 for name, expected in found[0].items())


@pytest.mark.parametrize("listener", [False, True])
def test_opcheck(listener):
    # Without padding: rows beyond the last utterance of the opaque last output are not written.
    given = make(lengths=(3, 3), listener=listener)
    mask = torch.rand(2, 2, 3, 9 + (6 if listener else 0)) < 0.7
    arguments = tuple(given[name] for name in ("inputs", "queries", "speakers", "lengths", "weights"))
    torch.library.opcheck(
        torch.ops.mm_emotion.dialogue_rnn_scan.default, (*arguments, mask, 1 / 0.7, 2, None, None, None, None, True)
    )


def test_compiles_whole_with_any_batch_and_length():
    compiled = torch.compile(dialogue_rnn_scan, fullgraph=True, backend="aot_eager", dynamic=True)
    for lengths in ((4, 2, 3), (5, 5, 1, 2)):
        arguments = make(lengths=lengths)
        output, expected = compiled(**arguments), dialogue_rnn_scan(**arguments)
        for one, other in zip(output, expected, strict=True):
            torch.testing.assert_close(one, other)
        for one, other in zip(gradients(output, arguments), gradients(expected, arguments), strict=True):
            torch.testing.assert_close(one, other)


def test_a_second_derivative_names_the_way_out():
    arguments = make(directions=1)
    first = gradients(dialogue_rnn_scan(**arguments), arguments, create_graph=True)
    with pytest.raises(NotImplementedError, match=r"use_reference_ops\(\)"):
        first[0].square().sum().backward()
    with use_reference_ops():
        gradients(dialogue_rnn_scan(**arguments), arguments, create_graph=True)[0].square().sum().backward()


def test_autocast_leaves_the_recurrence_in_the_precision_of_its_weights():
    arguments = make(torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        output = dialogue_rnn_scan(**arguments)
    assert all(torch.equal(one, other) for one, other in zip(output, dialogue_rnn_scan(**arguments), strict=True))


def test_outputs_share_no_storage():
    output = dialogue_rnn_scan(**make())
    assert len({states.untyped_storage().data_ptr() for states in output}) == len(output)


@pytest.mark.parametrize("listener", [False, True])
def test_every_value_of_a_result_is_written(listener):
    """Fresh memory is NaN here."""
    arguments = make(lengths=(5, 0, 2), listener=listener)
    expected = dialogue_rnn_scan(**arguments)
    wanted = gradients(expected, arguments)
    torch.use_deterministic_algorithms(True)
    try:
        assert torch.empty(1).isnan()
        output = dialogue_rnn_scan(**arguments)
        found = gradients(output, arguments)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(one, other) for one, other in zip([*output, *found], [*expected, *wanted], strict=True))


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
def test_a_thousand_calls_leave_no_memory_behind():
    arguments = make(torch.float32, (16, 16, 16), (8, 8, 8, 8))

    def pages(calls):
        for _ in range(calls):
            gradients(dialogue_rnn_scan(**arguments), arguments)
        return int(Path("/proc/self/statm").read_text().split()[1])

    before = pages(100)
    # A call keeps over 200 KB for its backward pass.
    assert pages(1000) - before < 1000


@pytest.mark.parametrize(
    ("name", "value"),
    [("speakers", 2), ("speakers", -1), ("lengths", 6), ("lengths", -1)],
)
def test_an_index_out_of_range_is_named(name, value):
    arguments = make()
    arguments[name] = arguments[name].clone()
    arguments[name].view(-1)[0] = value
    with pytest.raises(BatchError, match=f"^{name}: expected values from 0 to"):
        dialogue_rnn_scan(**arguments)
    order = ("inputs", "queries", "speakers", "lengths", "weights")
    direct = [arguments[key] for key in order]
    with pytest.raises(RuntimeError, match=f"{name}: expected values from 0 to"):
        torch.ops.mm_emotion.dialogue_rnn_scan(*direct, None, 1.0, 2, None, None, None, None, False)
