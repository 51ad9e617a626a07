"""The recurrence on a CUDA device against its definition in double precision on the CPU."""

import itertools

import pytest
import torch

from mm_emotion.ops.dialogue_rnn_scan import ScanState, dialogue_rnn_scan, dialogue_rnn_scan_reference

pytestmark = pytest.mark.cuda

LIMITS = {torch.float64: 1e-10, torch.float32: 1e-5, torch.bfloat16: 1e-2}
OPTIONS = list(itertools.product((1, 2), (1, 3, 9), (False, True), (1.0, 0.7)))
CASES = [
    ((4, 3, 2), (5, 2, 4)),
    ((4, 3, 2), (3,)),
    ((4, 3, 2), (2, 5, 0)),
    ((4, 3, 2), (1, 1)),
    ((37, 21, 19), (9, 1, 7, 7, 3, 5, 9, 2, 6, 8, 4, 1, 9, 9, 5, 3, 7, 8)),
    ((150, 150, 100), (20, 33, 4)),
]


def make(sizes, lengths, dtype, directions=1, parties=2, listener=False, keep=1.0, state=False):
    chance = torch.Generator().manual_seed(sum(lengths) + parties)
    g, p, e = sizes
    count, steps = len(lengths), max(lengths)

    def leaf(*shape):
        values = torch.randn(*shape, generator=chance, dtype=torch.float64) * 0.3 / (shape[-1] ** 0.5 / 2)
        return values.to(dtype).requires_grad_()

    shapes = [(3 * g, p), (3 * g, g), (3 * g,), (3 * p, g), (3 * p, p), (3 * p,)]
    shapes += [(3 * e, p), (3 * e,), (3 * e, e), (3 * e,)]
    shapes += [(3 * p, p), (3 * p, p), (3 * p,)] if listener else []
    width = g + p + e + (parties * p if listener else 0)
    mask = torch.rand(directions, count, steps, width, generator=chance) < keep
    known = torch.arange(count) % 4
    history = (
        torch.randn(count, 3, g, generator=chance, dtype=torch.float64) * (torch.arange(3) < known[:, None])[..., None]
    )
    of_party, of_emotion = (torch.randn(1, count, *rest, generator=chance) for rest in ((parties, p), (e,)))
    return {
        "inputs": leaf(directions, count, steps, 3 * g + (6 if listener else 3) * p),
        "queries": leaf(directions, count, steps, g),
        "speakers": torch.randint(0, parties, (count, steps), generator=chance),
        "lengths": torch.tensor(lengths),
        "weights": [leaf(*shape) for _ in range(directions) for shape in shapes],
        "num_parties": parties,
        "keep_mask": mask if keep < 1 else None,
        "keep": keep,
        "state": ScanState(history.to(dtype), known, of_party.to(dtype), of_emotion.to(dtype)) if state else None,
    }


def moved(arguments, change):
    """`arguments` with every floating tensor changed."""

    def apply(value):
        if isinstance(value, list):
            return [apply(item) for item in value]
        if isinstance(value, ScanState):
            return ScanState(*map(apply, value))
        if not isinstance(value, torch.Tensor):
            return value
        result = change(value.detach())
        return result.requires_grad_() if value.requires_grad else result

    return {name: apply(value) for name, value in arguments.items()}


def to_double(tensor):
    return tensor.double() if tensor.is_floating_point() else tensor


def leaves(arguments):
    return [arguments["inputs"], arguments["queries"], *arguments["weights"]]


def check(arguments, limit, distance):
    on_device, exact = moved(arguments, torch.Tensor.cuda), moved(arguments, to_double)
    output, expected = dialogue_rnn_scan(**on_device), dialogue_rnn_scan_reference(**exact)
    for one, other in zip(output, expected, strict=True):
        assert distance(one, other) < limit
    directions = [torch.randn(states.shape, dtype=torch.float64).to(output[0].dtype) for states in output[:3]]
    found = torch.autograd.grad(output[:3], leaves(on_device), [direction.cuda() for direction in directions])
    wanted = torch.autograd.grad(expected[:3], leaves(exact), [direction.double() for direction in directions])
    for one, other in zip(found, wanted, strict=True):
        assert distance(one, other) < limit


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize(("sizes", "lengths"), CASES)
def test_states_and_gradients(sizes, lengths, dtype, distance):
    for directions, parties, listener, keep in OPTIONS:
        check(make(sizes, lengths, dtype, directions, parties, listener, keep), LIMITS[dtype], distance)


@pytest.mark.parametrize("dtype", LIMITS)
@pytest.mark.parametrize("listener", [False, True])
def test_a_stream_goes_on_from_its_state(listener, dtype, distance):
    check(make((12, 10, 8), (5, 2, 4, 6), dtype, 1, 3, listener, state=True), LIMITS[dtype], distance)


def test_sizes_of_the_published_system(distance):
    check(make((500, 500, 300), (110, 60, 75, 9), torch.float32, 2, 2), 1e-5, distance)


@pytest.mark.parametrize("lengths", [(0, 0), (1,)])
def test_degenerate_batches(lengths, distance):
    arguments = make((4, 3, 2), (*lengths, 1), torch.float64)
    for name in ("inputs", "queries"):
        arguments[name] = arguments[name].detach()[:, : len(lengths)].requires_grad_()
    arguments["speakers"] = arguments["speakers"][: len(lengths)]
    arguments["lengths"] = torch.tensor(lengths)
    check(arguments, 1e-10, distance)
