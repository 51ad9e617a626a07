"""The CUDA programs of the scan on emulated blocks, against the definition; what runs on a card is in test_scan.py."""

import itertools
import re
from ctypes import c_double

import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.utils import _pytree as pytree

from mm_emotion.ops import kernel_devices
from mm_emotion.ops.dialogue_rnn_scan import ScanState, dialogue_rnn_scan_reference

# Slices of the dialogues, blocks of a group, dialogues side by side, weights in shared memory or not.
LAYOUTS = ((1, 1, 8, 1), (2, 3, 2, 1), (1, 4, 4, 0), (3, 2, 16, 1))


def make(
    sizes=(5, 4, 3), lengths=(5, 2, 4), directions=1, parties=2, listener=False, keep=1.0, past=None, seed=0,
    dtype=torch.float64, weight_dtype=None, scale=0.5,
):  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    g, p, e = sizes
    count, steps = len(lengths), max(lengths)

    def leaf(*shape, dtype=dtype):
        values = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale
        return values.to(dtype).requires_grad_()

    shapes = [(3 * g, p), (3 * g, g), (3 * g,), (3 * p, g), (3 * p, p), (3 * p,)]
    shapes += [(3 * e, p), (3 * e,), (3 * e, e), (3 * e,)]
    shapes += [(3 * p, p), (3 * p, p), (3 * p,)] if listener else []
    mask = torch.rand(directions, count, steps, g + p + e + (parties * p if listener else 0), generator=generator)
    arguments = {
        "inputs": leaf(directions, count, steps, 3 * g + (6 if listener else 3) * p),
        "queries": leaf(directions, count, steps, g),
        "speakers": torch.randint(0, parties, (count, steps), generator=generator),
        "lengths": torch.tensor(lengths),
        "weights": [leaf(*shape, dtype=weight_dtype or dtype) for _ in range(directions) for shape in shapes],
        "num_parties": parties,
        "keep_mask": mask < keep if keep < 1 else None,
        "keep": keep,
    }
    if past is not None:
        states = leaf(count, max(past), g), torch.tensor(past), leaf(1, count, parties, p), leaf(1, count, e)
        arguments["state"] = ScanState(*(tensor.detach() for tensor in states))
    return arguments


def directions_of(output):
    """Random gradients of the states."""
    generator = torch.Generator().manual_seed(9)
    return [torch.randn(x.shape, generator=generator, dtype=torch.float64).to(x.dtype) for x in output[:3]]


def expected_of(arguments):
    output = dialogue_rnn_scan_reference(**arguments)
    leaves = [arguments["inputs"], arguments["queries"], *arguments["weights"]]
    return output, torch.autograd.grad(output[:3], leaves, directions_of(output))


def assert_scan_equals(emulation, arguments, layout, options, limit=1e-10):
    output, expected = expected_of(arguments)
    found = emulation.forward(arguments, layout=layout, options=options)
    gradients = emulation.backward(arguments, directions_of(output), found, layout=layout, options=options)
    for one, other in zip([*found[:4], *gradients], [*output, *expected], strict=True):
        torch.testing.assert_close(one, other, atol=limit, rtol=limit)


CASES = [
    *({"directions": way, "listener": listener} for way, listener in itertools.product((1, 2), (False, True))),
    {"sizes": (33, 9, 41), "lengths": (3, 1, 2), "directions": 2, "parties": 1, "keep": 0.7},
    {"sizes": (2, 3, 1), "lengths": (7, 2, 5, 7, 1, 3, 6, 7, 4), "directions": 2, "parties": 9, "keep": 0.8},
    {"lengths": (4, 1, 3, 4), "directions": 2, "parties": 5, "listener": True, "keep": 0.7},
    {"lengths": (3, 4, 2), "parties": 1, "listener": True},
    {"lengths": (3, 0, 4), "past": (2, 3, 0), "parties": 3, "keep": 0.9},
    {"lengths": (2, 3, 1), "past": (2, 4, 0), "parties": 3, "listener": True},
    {"lengths": (1,), "past": (37,), "sizes": (3, 4, 2)},
    {"lengths": (1, 1), "directions": 2, "parties": 1},
    {"lengths": (70, 41), "sizes": (3, 2, 2), "seed": 4},
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("case", range(len(CASES)))
def test_states_and_gradients_equal_the_definition(emulation, case, layout):
    arguments = make(**CASES[case])
    layout = (min(layout[0], len(arguments["lengths"])), *layout[1:])
    assert_scan_equals(emulation, arguments, layout, {"seed": case, "switches": case % 4})


@pytest.mark.parametrize("listener", [False, True])
def test_no_schedule_changes_a_bit(emulation, listener):
    arguments = make(lengths=(4, 2, 3), directions=2, parties=3, listener=listener, dtype=torch.float32)
    upstream, results = directions_of(dialogue_rnn_scan_reference(**arguments)), []
    for seed in range(6):
        options = {"seed": seed, "switches": seed}
        output = emulation.forward(arguments, layout=(1, 4, 2, 1), options=options)
        gradients = emulation.backward(arguments, upstream, output, layout=(1, 4, 2, 1), options=options)
        results.append([*output[:4], *gradients])
    for other in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], other, strict=True))


def test_without_save_the_states_are_the_same(emulation):
    arguments = make(lengths=(4, 2, 3), directions=2, parties=3, listener=True)
    kept, plain = (emulation.forward(arguments, save=save, layout=(2, 2, 4, 0)) for save in (True, False))
    assert all(torch.equal(one, other) for one, other in zip(kept[:4], plain[:4], strict=True))
    assert plain[4].numel() < kept[4].numel() / 2


def test_precisions(emulation):
    options = {"sizes": (37, 21, 19), "lengths": (9, 1, 7, 3, 5, 8), "directions": 2, "parties": 4, "keep": 0.8}

    def worst(**kinds):
        arguments = make(**options, **kinds, scale=0.2)
        # What is compared is the arithmetic, not the rounding of the arguments.
        exact = dict(arguments, weights=[weight.detach().double().requires_grad_() for weight in arguments["weights"]])
        exact |= {name: arguments[name].detach().double().requires_grad_() for name in ("inputs", "queries")}
        output, expected = expected_of(exact)
        found = emulation.forward(arguments, layout=(2, 2, 4, 1))
        upstream = [gradient.float() for gradient in directions_of(output)]
        gradients = emulation.backward(arguments, upstream, found, layout=(2, 2, 4, 1))
        pairs = zip([*found[:4], *gradients], [*output, *expected], strict=True)
        return max(((one.double() - two).norm() / two.norm()).item() for one, two in pairs)

    assert worst(dtype=torch.float32) < 1e-5
    # Through the matrix units, which round the states as well.
    assert 1e-4 < worst(dtype=torch.float32, weight_dtype=torch.bfloat16) < 1e-2


@pytest.mark.parametrize("listener", [False, True])
@pytest.mark.parametrize("backward", [False, True])
def test_every_barrier_is_needed_and_missed(emulation, listener, backward):
    """The emulator finds a wait that is left out, whatever the schedule, so it would one that the programs lack."""
    arguments = make(lengths=(3, 2), parties=3, listener=listener, past=(2, 1))
    layout, upstream = (1, 3, 8, 1), directions_of(dialogue_rnn_scan_reference(**arguments))
    output = emulation.forward(arguments, layout=layout)

    def run(**options):
        if backward:
            emulation.backward(arguments, upstream, output, layout=layout, options=options)
        else:
            emulation.forward(arguments, layout=layout, options=options)

    def finds(epoch, block):
        try:
            run(seed=epoch, switches=epoch % 3, skip_block=block, skip_epoch=epoch)
        except emulation.Fault as fault:
            assert re.search("unordered|nothing wrote", str(fault))
            return True
        return False

    barriers = {(False, False): 4, (False, True): 6, (True, False): 5, (True, True): 7}[backward, listener]
    for epoch in range(1, barriers + 1):
        assert any(finds(epoch, block) for block in range(3))
        with pytest.raises(emulation.Fault, match=f"deadlock.* waits for {epoch} where {epoch - 1} stands"):
            run(mute_block=epoch % 3, mute_epoch=epoch)
    assert not finds(barriers + 1, 0)


def test_indices_out_of_range_are_taken_to_the_nearest_in_range(emulation):
    arguments = make(lengths=(3, 2, 3), past=(1, 2, 0))
    wanted = {"speakers": arguments["speakers"].clone(), "lengths": arguments["lengths"].clone()}
    wild = {name: tensor.clone() for name, tensor in wanted.items()}
    wanted["speakers"][0, :2], wild["speakers"][0, :2] = torch.tensor([0, 1]), torch.tensor([-(2**40), 7])
    wanted["lengths"][:2], wild["lengths"][:2] = torch.tensor([3, 0]), torch.tensor([2**33, -1])
    state = arguments["state"]
    known = {"state": state._replace(history_lengths=torch.tensor([2, 2, 0]))}
    unknown = {"state": state._replace(history_lengths=torch.tensor([3, 2, -4]))}
    one, other = emulation.forward(arguments | wanted | known), emulation.forward(arguments | wild | unknown)
    assert all(torch.equal(left, right) for left, right in zip(one[:4], other[:4], strict=True))


@pytest.mark.skipif("cpu" not in kernel_devices(), reason="the native extension is not built")
@pytest.mark.parametrize("listener", [False, True])
def test_tracing_knows_the_size_of_what_is_kept(emulation, listener):
    arguments = make(lengths=(3, 2), parties=3, listener=listener, past=(2, 1))
    kept = emulation.forward(arguments)[4]
    names = ("inputs", "queries", "speakers", "lengths", "weights", "state")

    def on_device(tensor):
        return torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda")

    with FakeTensorMode():
        inputs, queries, speakers, lengths, weights, state = (
            pytree.tree_map(
                lambda tensor: torch.empty(tensor.shape, dtype=tensor.dtype, device="cuda"), arguments[name]
            )
            for name in names
        )
        given = inputs, queries, speakers, lengths, weights
        output = torch.ops.mm_emotion.dialogue_rnn_scan(*given, None, 1.0, 3, *state, True)
    assert output[4].shape == kept.shape


def test_order_of_walking(emulation):
    lengths, speakers = torch.tensor([2, 4, 0, 4]), torch.tensor([[1, 0, 1, 1]] * 3 + [[0, 0, 1, 0]])
    arguments = make(lengths=(4, 4, 4, 4), directions=2)
    sizes = emulation.sizes(arguments, 1, 1, 8, 1)
    order = emulation.order(sizes, speakers, lengths, None)
    dialogue, end, known, speaker, previous = order.split([4, 4, 4, 16, 32])
    assert dialogue.tolist() == [1, 3, 0, 2]
    assert end.tolist() == lengths.tolist()
    assert known.tolist() == [0] * 4
    assert speaker.view(4, 4).tolist() == speakers.tolist()
    forward, backward = previous.view(2, 4, 4).tolist()
    assert forward == [[-1] * 4, [-1, -1, 0, 2], [-1] * 4, [-1, 0, -1, 1]]
    assert backward == [[-1] * 4, [2, -1, 3, -1], [-1] * 4, [1, 3, -1, -1]]


@pytest.mark.parametrize("kind", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize(
    "shape", [(30, 500, 500, 300), (1, 500, 500, 300), (240, 150, 150, 100), (3, 5, 4, 3)], ids=str
)
def test_a_plan_fits_the_card(emulation, shape, backward, kind):
    dialogues, g, p, e = shape
    for directions, listener, blocks, shared in itertools.product((1, 2), (0, 1), (20, 78, 132), (99 << 10, 227 << 10)):
        given = (directions, dialogues, 110, 0, 2, g, p, e, listener)
        sizes, used = emulation.plan(kind, backward, blocks, shared, given)
        assert used <= shared
        assert 1 <= sizes.slices <= dialogues
        assert directions * sizes.slices * sizes.members <= blocks
        assert sizes.members * 4 <= max(g, p, e) + 3
        # The weights of two directions of the small recipe fit on a large card as they are.
        if blocks == 132 and shared > 200 << 10 and (g == 150 or kind == "bfloat16"):
            assert sizes.resident
    assert emulation.plan(kind, backward, 1, 99 << 10, (1, dialogues, 110, 0, 2, 9000, 9000, 9000, 0)) is None


def test_a_gru_step_and_its_derivatives(emulation):
    torch.manual_seed(0)
    sums, before, gradient = torch.randn(4, dtype=torch.float64), 0.3, 1.7
    sums.requires_grad_()
    state = torch.tensor(before, dtype=torch.float64, requires_grad=True)
    h_n, r, z, n = sums
    n = torch.tanh(n + torch.sigmoid(r) * h_n)
    expected = n + torch.sigmoid(z) * (state - n)
    gates, d_gates = (c_double * 4)(*sums.tolist()), (c_double * 4)()
    assert emulation.library.gru_of(gates, c_double(before)) == pytest.approx(expected.item(), abs=1e-15)
    direct = emulation.library.gru_backward_of(gates, c_double(before), c_double(gradient), d_gates)
    by_sums, by_state = torch.autograd.grad(expected, (sums, state), torch.tensor(gradient, dtype=torch.float64))
    assert list(d_gates) == pytest.approx(by_sums.tolist(), abs=1e-15)
    assert direct == pytest.approx(by_state.item(), abs=1e-15)


@pytest.mark.parametrize("pieces", [1, 3, 32])
@pytest.mark.parametrize("scale", [1.0, 1e3, 1e300])
def test_softmax_in_pieces(emulation, pieces, scale):
    """More lanes than scores leave lanes without any; large scores must not overflow."""
    scores = torch.randn(21, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) * scale
    weights = (c_double * 21)()
    emulation.library.softmax_of((c_double * 21)(*scores.tolist()), 21, pieces, weights)
    torch.testing.assert_close(torch.tensor(list(weights), dtype=torch.float64), scores.softmax(0))


def test_bfloat16_values(emulation):
    values = torch.tensor([0.0, -1.5, 3e38, 1e-40, float("inf")], dtype=torch.bfloat16)
    for bits, value in zip(values.view(torch.int16).tolist(), values.float().tolist(), strict=True):
        assert emulation.library.widen(bits & 0xFFFF) == value
