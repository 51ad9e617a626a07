"""The native scan against its definition on odd shapes, on several threads and in several processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from mm_emotion.ops import kernel_devices
from mm_emotion.ops.dialogue_rnn_scan import ScanState, dialogue_rnn_scan, dialogue_rnn_scan_reference

pytestmark = pytest.mark.skipif("cpu" not in kernel_devices(), reason="the native extension is not built")

SIZE = st.sampled_from([1, 2, 3, 8, 15, 16, 17, 31, 33, 40])


@st.composite
def batches(draw):
    """Arguments in double precision, and whether tensors are views into larger ones."""
    return {
        "sizes": (draw(SIZE), draw(SIZE), draw(SIZE)),
        "lengths": draw(st.lists(st.integers(0, 7), max_size=20)),
        "extra": draw(st.integers(0, 2)),
        "directions": draw(st.integers(1, 2)),
        "parties": draw(st.sampled_from([1, 2, 3, 9])),
        "listener": draw(st.booleans()),
        "masked": draw(st.booleans()),
        "past": draw(st.none() | st.integers(0, 3)),
        "views": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


def make(
    sizes,
    lengths,
    extra=0,
    directions=1,
    parties=2,
    listener=False,
    masked=False,
    past=None,
    views=False,
    seed=0,
    scale=0.4,
    dtype=torch.float64,
):
    generator = torch.Generator().manual_seed(seed)
    g, p, e = sizes
    count, steps = len(lengths), max(lengths, default=0) + extra

    def tensor(*shape):
        values = (torch.randn(*shape, generator=generator, dtype=torch.float64) * scale).to(dtype)
        if not views:
            return values
        # An offset into storage of other strides.
        storage = torch.full((*(size + 1 for size in shape[::-1]), 2), float("nan"), dtype=dtype)
        view = storage[(*(slice(1, None) for _ in shape), 1)].permute(*reversed(range(len(shape))))
        return view.copy_(values)

    shapes = [(3 * g, p), (3 * g, g), (3 * g,), (3 * p, g), (3 * p, p), (3 * p,)]
    shapes += [(3 * e, p), (3 * e,), (3 * e, e), (3 * e,)]
    shapes += [(3 * p, p), (3 * p, p), (3 * p,)] if listener else []
    state = None
    if past is not None and directions == 1:
        known = torch.randint(0, past + 1, (count,), generator=generator)
        state = ScanState(tensor(count, past, g), known, tensor(1, count, parties, p), tensor(1, count, e))
    width = g + p + e + (parties * p if listener else 0)
    return {
        "inputs": tensor(directions, count, steps, 3 * g + (6 if listener else 3) * p).requires_grad_(),
        "queries": tensor(directions, count, steps, g).requires_grad_(),
        "speakers": torch.randint(0, parties, (count, steps), generator=generator),
        "lengths": torch.tensor(lengths, dtype=torch.int64),
        "weights": [tensor(*shape).requires_grad_() for _ in range(directions) for shape in shapes],
        "num_parties": parties,
        "keep_mask": torch.rand(directions, count, steps, width, generator=generator) < 0.8 if masked else None,
        "keep": 0.8 if masked else 1.0,
        "state": state,
    }


def run(scan, arguments):
    """Outputs, and the gradients of one sum over them."""
    output = scan(**arguments)
    total = 0
    for states in output[:3]:
        direction = torch.linspace(-1, 1, states.numel(), dtype=torch.float64).view(states.shape)
        total = total + (states * direction.to(states.dtype)).sum()
    leaves = [arguments["inputs"], arguments["queries"], *arguments["weights"]]
    if not any(states.requires_grad for states in output):  # the definition, of no steps
        return list(output), [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(total, leaves, materialize_grads=True)
    return [tensor.detach() for tensor in output], list(found)


def assert_same(found, expected, **tolerance):
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, **tolerance)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(batches())
def test_any_batch_equals_the_definition(batch):
    arguments = make(**batch)
    output, found = run(dialogue_rnn_scan, arguments)
    wanted, expected = run(dialogue_rnn_scan_reference, arguments)
    assert_same(output, wanted, atol=1e-11, rtol=1e-9)
    assert_same(found, expected, atol=1e-11, rtol=1e-9)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


# Large enough for several threads to share a step, with a last block of few columns; all of them, or two teams.
SHARED = {"sizes": (250, 200, 70), "lengths": [6, 1, 5, 4, 6, 2] * 4, "parties": 3, "masked": True, "scale": 0.05}


@pytest.mark.parametrize("listener", [False, True])
@pytest.mark.parametrize("directions", [1, 2])
def test_a_team_computes_what_one_thread_does(threads, directions, listener):
    arguments = make(**SHARED, directions=directions, listener=listener, dtype=torch.float32)
    threads(1)
    output, found = run(dialogue_rnn_scan, arguments)
    wanted, expected = run(dialogue_rnn_scan_reference, arguments)
    assert_same(output, wanted, atol=1e-5, rtol=1e-4)
    assert_same(found, expected, atol=1e-4, rtol=1e-3)
    for count in (2, 5):
        threads(count)
        again, gradients = run(dialogue_rnn_scan, arguments)
        assert all(torch.equal(one, other) for one, other in zip(again, output, strict=True))
        # Weight gradients are products of PyTorch, which may add in another order.
        assert all(torch.equal(one, other) for one, other in zip(gradients[:2], found[:2], strict=True))
        assert_same(gradients, found, atol=1e-4, rtol=1e-4)


def test_one_dialogue_is_shared_by_a_team(threads):
    arguments = make((330, 300, 60), [12], scale=0.05, dtype=torch.float32)
    threads(1)
    output, found = run(dialogue_rnn_scan, arguments)
    threads(2)
    again, gradients = run(dialogue_rnn_scan, arguments)
    assert all(torch.equal(one, other) for one, other in zip(again, output, strict=True))
    assert_same(gradients, found, atol=1e-5, rtol=1e-5)
    assert_same(again, run(dialogue_rnn_scan_reference, arguments)[0], atol=1e-5, rtol=1e-4)


def test_what_an_earlier_call_left_in_memory_changes_nothing():
    """Blocks of this size are kept between calls; the call before has left NaN in them."""
    batch = {"sizes": (120, 120, 120), "lengths": [40, 3, 40, 25] * 3, "listener": True, "dtype": torch.float32}
    arguments, poison = make(**batch), make(**batch)
    with torch.no_grad():
        poison["inputs"].fill_(float("nan"))
    expected = run(dialogue_rnn_scan, arguments)
    assert run(dialogue_rnn_scan, poison)[1][0].isnan().any()
    found = run(dialogue_rnn_scan, arguments)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other, atol=0, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_autocast_calls_the_kernel_in_single_precision(dtype):
    arguments = make((8, 7, 6), [3, 2], dtype=dtype)
    given_tensors = [arguments[name] for name in ("inputs", "queries", "speakers", "lengths", "weights")]
    with torch.autocast("cpu", torch.bfloat16):
        found = torch.ops.mm_emotion.dialogue_rnn_scan(*given_tensors, None, 1.0, 2, None, None, None, None, False)
    assert found[0].dtype == torch.float32
    expected = dialogue_rnn_scan(**arguments).emotion_states
    torch.testing.assert_close(found[0], expected.float(), atol=1e-2, rtol=1e-2)


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch was built without distributed")
def test_gradients_of_two_processes_add_up_to_those_of_one(tmp_path):
    arguments = make((9, 8, 7), [5, 1, 3, 4], directions=2, dtype=torch.float32)
    tensors = {name: arguments[name].detach() for name in ("inputs", "queries", "speakers", "lengths")}
    tensors |= {f"{index:02}": weight.detach() for index, weight in enumerate(arguments["weights"])}
    save_file(tensors, tmp_path / "given.safetensors")
    script = Path(__file__).with_name("two_processes_scan.py")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    result = subprocess.run([*command, str(script), str(tmp_path)], env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = load_file(tmp_path / "found.safetensors")
    dialogue_rnn_scan(**arguments).emotion_states.square().sum().backward()
    for index, weight in enumerate(arguments["weights"]):
        torch.testing.assert_close(found[f"{index:02}"], weight.grad, atol=1e-5, rtol=1e-5)
