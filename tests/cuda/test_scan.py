"""The scan on a CUDA device against its definition; test_scan_emulated.py runs the same programs without one."""

import pytest
import torch

from mm_emotion.ops import kernel_devices
from mm_emotion.ops.dialogue_rnn_scan import ScanState, dialogue_rnn_scan, dialogue_rnn_scan_reference

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not torch.cuda.is_available() or "cuda" not in kernel_devices(),
        reason="needs a GPU, CUDA kernels and MM_EMOTION_CUDA=1",
    ),
]


def make(sizes, lengths, directions, parties=2, listener=False, keep=1.0, past=None, dtype=torch.float64, seed=0):
    """Random arguments on the CPU in double precision, rounded to `dtype`."""
    generator = torch.Generator().manual_seed(seed)
    g, p, e = sizes
    count, steps = len(lengths), max(lengths)

    def leaf(*shape, scale=0.5):
        values = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale
        return values.to(dtype).double()

    def weight(rows, columns):
        return leaf(rows, columns, scale=columns**-0.5)

    shapes = [(3 * g, p), (3 * g, g), 3 * g, (3 * p, g), (3 * p, p), 3 * p, (3 * e, p), 3 * e, (3 * e, e), 3 * e]
    shapes += [(3 * p, p), (3 * p, p), 3 * p] if listener else []
    mask = torch.rand(directions, count, steps, g + p + e + (parties * p if listener else 0), generator=generator)
    state = None
    if past is not None:
        states = leaf(count, max(past), g), torch.tensor(past), leaf(1, count, parties, p), leaf(1, count, e)
        state = ScanState(*states)
    return {
        "inputs": leaf(directions, count, steps, 3 * g + (6 if listener else 3) * p),
        "queries": leaf(directions, count, steps, g, scale=g**-0.5),
        "speakers": torch.randint(0, parties, (count, steps), generator=generator),
        "lengths": torch.tensor(lengths),
        "weights": [
            weight(*shape) if isinstance(shape, tuple) else leaf(shape) for _ in range(directions) for shape in shapes
        ],
        "num_parties": parties,
        "keep_mask": mask < keep if keep < 1 else None,
        "keep": keep,
        "state": state,
    }


def on(device, dtype, value):
    """Arguments moved; what is differentiated becomes a leaf."""
    if isinstance(value, dict):
        moved = {name: on(device, dtype, part) for name, part in value.items()}
        for tensor in (moved["inputs"], moved["queries"], *moved["weights"]):
            tensor.requires_grad_()
        return moved
    if isinstance(value, ScanState):
        return ScanState(*(on(device, dtype, part) for part in value))
    if isinstance(value, list):
        return [on(device, dtype, part) for part in value]
    if not isinstance(value, torch.Tensor):
        return value
    return value.detach().to(device, dtype if value.is_floating_point() else None, copy=True)


def run(scan, arguments):
    output = scan(**arguments)
    generator = torch.Generator().manual_seed(9)
    upstream = [torch.randn(states.shape, generator=generator, dtype=torch.float64) for states in output[:3]]
    upstream = [one.to(states.device, states.dtype) for one, states in zip(upstream, output[:3], strict=True)]
    leaves = [arguments["inputs"], arguments["queries"], *arguments["weights"]]
    return [*output, *torch.autograd.grad(output[:3], leaves, upstream)]


def worst(found, expected):
    pairs = zip(found, expected, strict=True)
    return max(((one.cpu().double() - two).norm() / two.norm().clamp(min=1e-30)).item() for one, two in pairs)


SMALL = {"sizes": (37, 21, 19), "lengths": [9, 1, 7, 7, 3, 5, 9, 2, 6, 8, 4], "parties": 3, "keep": 0.8}
CASES = [
    {**SMALL, "directions": 1},
    {**SMALL, "directions": 2},
    {**SMALL, "directions": 2, "listener": True},
    {**SMALL, "directions": 1, "past": [4, 0, 2, 1, 4, 3, 2, 1, 0, 4, 4]},
    {"sizes": (150, 150, 100), "lengths": list(range(1, 34)), "directions": 2, "parties": 9},
    {"sizes": (500, 500, 300), "lengths": [110, 80, 49, 30, 7], "directions": 2},
    {"sizes": (150, 150, 100), "lengths": [1], "directions": 1, "past": [200]},
]


@pytest.mark.parametrize("case", range(len(CASES)))
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_states_and_gradients_equal_the_definition(case, dtype):
    arguments = make(**CASES[case], dtype=dtype)
    expected = run(dialogue_rnn_scan_reference, on("cpu", torch.float64, arguments))
    limit = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 2e-2}[dtype]
    assert worst(run(dialogue_rnn_scan, on("cuda", dtype, arguments)), expected) < limit


def test_two_runs_are_the_same_to_the_bit_with_ever_new_inputs():
    """A barrier that held by luck would show here."""
    for seed in range(500):
        lengths = torch.randint(1, 24, (16,), generator=torch.Generator().manual_seed(seed)).tolist()
        arguments = on("cuda", torch.float32, make((64, 64, 32), lengths, 2, seed=seed, listener=seed % 2 == 1))
        for one, other in zip(run(dialogue_rnn_scan, arguments), run(dialogue_rnn_scan, arguments), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("listener", [False, True])
def test_opcheck(listener):
    given = on("cuda", torch.float32, make((8, 6, 4), [3, 2], 2, listener=listener))
    arguments = tuple(given[name] for name in ("inputs", "queries", "speakers", "lengths", "weights"))
    # Rows of padding of the opaque last output are not written, so that values are not compared.
    torch.library.opcheck(
        torch.ops.mm_emotion.dialogue_rnn_scan.default,
        (*arguments, None, 1.0, 2, None, None, None, None, True),
        test_utils=("test_schema", "test_autograd_registration", "test_faketensor"),
    )
