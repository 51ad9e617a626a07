"""The fast scan against its reference, and the promises both make."""

import itertools

import pytest
import torch

from mm_emotion.errors import BatchError
from mm_emotion.ops import use_reference_ops
from mm_emotion.ops._dialogue_rnn_scan_fused import fused_scan
from mm_emotion.ops.dialogue_rnn_scan import (
    ScanOutput,
    ScanState,
    dialogue_rnn_scan,
    dialogue_rnn_scan_reference,
    next_state,
)

G, P, E = 4, 3, 2


def make(directions=1, lengths=(5, 2, 4), parties=3, listener=False, keep=1.0, scale=0.5, seed=0):
    """Random arguments in double precision, all of them leaves."""
    generator = torch.Generator().manual_seed(seed)
    count, steps = len(lengths), max(lengths)

    def leaf(*shape):
        values = torch.randn(*shape, generator=generator, dtype=torch.float64) * scale
        return values.requires_grad_()

    shapes = [
        (3 * G, P),
        (3 * G, G),
        (3 * G,),
        (3 * P, G),
        (3 * P, P),
        (3 * P,),
        (3 * E, P),
        (3 * E,),
        (3 * E, E),
        (3 * E,),
    ]
    shapes += [(3 * P, P), (3 * P, P), (3 * P,)] if listener else []
    width = G + P + E + (parties * P if listener else 0)
    mask = torch.rand(directions, count, steps, width, generator=generator) < keep
    return {
        "inputs": leaf(directions, count, steps, 3 * G + (6 if listener else 3) * P),
        "queries": leaf(directions, count, steps, G),
        "speakers": torch.randint(0, parties, (count, steps), generator=generator),
        "lengths": torch.tensor(lengths),
        "weights": [leaf(*shape) for _ in range(directions) for shape in shapes],
        "num_parties": parties,
        "keep_mask": mask if keep < 1 else None,
        "keep": keep,
    }


def leaves(arguments):
    return [arguments["inputs"], arguments["queries"], *arguments["weights"]]


def gradients(output, arguments):
    generator = torch.Generator().manual_seed(9)
    total = sum(
        (states * torch.randn(states.shape, generator=generator, dtype=states.dtype)).sum() for states in output[:3]
    )
    return torch.autograd.grad(total, leaves(arguments), retain_graph=True)


def assert_same(left, right):
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, atol=1e-12, rtol=1e-10)


def in_pytorch(shrink):
    """The fast path without kernels; `shrink=False` is the walk where the lengths stay on the device."""

    def scan(state=None, **arguments):
        names = ("inputs", "queries", "speakers", "lengths", "weights", "num_parties", "keep_mask", "keep")
        start = (None,) * 4 if state is None else tuple(state)
        return ScanOutput(*fused_scan(*(arguments[name] for name in names), start, shrink=shrink))

    return scan


FAST = (dialogue_rnn_scan, in_pytorch(shrink=True), in_pytorch(shrink=False))


CASES = [
    pytest.param(*case, id="-".join(map(str, case)))
    for case in itertools.product((1, 2), (1, 3), (False, True), (1.0, 0.7), ((5, 2, 4), (3,), (1, 1), (2, 5, 0)))
]


@pytest.mark.parametrize(("directions", "parties", "listener", "keep", "lengths"), CASES)
def test_states_and_gradients_equal_the_reference(directions, parties, listener, keep, lengths):
    arguments = make(directions, lengths, parties, listener, keep)
    reference = dialogue_rnn_scan_reference(**arguments)
    expected = gradients(reference, arguments)
    for scan in FAST:
        output = scan(**arguments)
        assert_same(output, reference)
        assert_same(gradients(output, arguments), expected)


@pytest.mark.parametrize("listener", [False, True])
def test_gradcheck(listener):
    arguments = make(2, (3, 1), 2, listener, keep=0.8)

    def scan(inputs, queries, *weights):
        changed = {**arguments, "inputs": inputs, "queries": queries, "weights": list(weights)}
        return dialogue_rnn_scan(**changed)[:3]

    assert torch.autograd.gradcheck(scan, leaves(arguments))


def test_long_dialogues_take_the_same_path_to_the_same_result():
    arguments = make(1, (25, 9, 17), 2, scale=0.3)
    reference = dialogue_rnn_scan_reference(**arguments)
    output = dialogue_rnn_scan(**arguments)
    assert_same(output, reference)
    assert_same(gradients(output, arguments), gradients(reference, arguments))


def test_one_step_by_hand():
    """The first utterance has no context: c = 0 and g does not reach the party."""
    arguments = make(1, (1,), 2)
    *_, w_pq, b_ph, w_eq, b_ei, w_eh, b_eh = arguments["weights"]
    party = torch.nn.GRUCell(3 * P, P, dtype=torch.float64)
    emotion = torch.nn.GRUCell(P, E, dtype=torch.float64)
    with torch.no_grad():
        party.weight_ih.copy_(torch.eye(3 * P))
        party.bias_ih.zero_()
        party.weight_hh.copy_(w_pq)
        party.bias_hh.copy_(b_ph)
        for name, value in zip(("weight_ih", "bias_ih", "weight_hh", "bias_hh"), (w_eq, b_ei, w_eh, b_eh), strict=True):
            emotion.get_parameter(name).copy_(value)
    q = party(arguments["inputs"][0, :, 0, 3 * G :])
    output = dialogue_rnn_scan(**arguments)
    assert_same([output.emotion_states[:, 0]], [emotion(q)])
    speaker = arguments["speakers"][0, 0]
    assert_same([output.party_states[0, 0, speaker]], [q[0]])
    assert not output.party_states[0, 0, 1 - speaker].any()
    assert not output.attentions.any()


def test_attention_is_strictly_over_what_was_read_before():
    arguments = make(2, (4, 2), 2)
    forward, backward = dialogue_rnn_scan(**arguments).attentions
    assert torch.equal(forward, forward.tril(-1))
    assert torch.equal(backward, backward.triu(1))
    assert torch.allclose(forward[0].sum(-1), torch.tensor([0.0, 1, 1, 1], dtype=torch.float64))
    assert torch.allclose(backward[1].sum(-1), torch.tensor([1.0, 0, 0, 0], dtype=torch.float64))


@pytest.mark.parametrize("scan", [*FAST, dialogue_rnn_scan_reference])
def test_padding_is_zero_and_changes_nothing(scan):
    arguments = make(2, (5, 2, 4), listener=True)
    poisoned = dict(arguments)
    padding = torch.arange(5) >= arguments["lengths"][:, None]
    poisoned["inputs"] = arguments["inputs"].masked_fill(padding[None, :, :, None], float("nan"))
    poisoned["queries"] = arguments["queries"].masked_fill(padding[None, :, :, None], float("nan"))

    output = scan(**poisoned)
    assert_same(output, scan(**arguments))
    if scan is not dialogue_rnn_scan_reference:  # autograd itself turns 0 times NaN into NaN
        assert_same(gradients(output, arguments), gradients(scan(**arguments), arguments))
    assert not output.emotion_states[padding].any()
    assert not output.global_states[:, padding].any()
    assert not output.attentions[:, padding].any()


@pytest.mark.parametrize("listener", [False, True])
@pytest.mark.parametrize("keep", [1.0, 0.7])
def test_a_stream_in_pieces_equals_the_whole(listener, keep):
    whole = make(1, (9, 6, 7), 3, listener, keep)
    expected = dialogue_rnn_scan(**whole)
    state, position = None, torch.zeros(3, dtype=torch.int64)
    pieces = []
    for counts in ([2, 0, 3], [4, 1, 0], [3, 5, 4]):
        lengths, rows = torch.tensor(counts), torch.arange(3)[:, None]
        columns = (position[:, None] + torch.arange(5)).clamp(max=8)
        piece = {
            **whole,
            "inputs": whole["inputs"][:, rows, columns],
            "queries": whole["queries"][:, rows, columns],
            "speakers": whole["speakers"][rows, columns],
            "lengths": lengths,
            "keep_mask": None if keep == 1 else whole["keep_mask"][:, rows, columns],
        }
        reference = dialogue_rnn_scan_reference(**piece, state=state)
        output = dialogue_rnn_scan(**piece, state=state)
        for other in (output, *(scan(**piece, state=state) for scan in FAST[1:])):
            assert_same(other, reference)
            assert_same(gradients(other, whole), gradients(reference, whole))
        pieces.append([output.emotion_states[row, :count] for row, count in enumerate(counts)])
        state = next_state(output, lengths, state)
        position = position + lengths
    for row, length in enumerate((9, 6, 7)):
        assert_same([torch.cat([piece[row] for piece in pieces])], [expected.emotion_states[row, :length]])
    assert_same([state.party_states], [expected.party_states])
    assert state.history_lengths.tolist() == [9, 6, 7]
    assert not any(tensor.requires_grad for tensor in state)


def test_concat_attention_scores_by_its_own_formula():
    arguments = make(1, (3,), 2)
    weight = torch.randn(5, G, dtype=torch.float64)
    vector = torch.randn(5, dtype=torch.float64)
    arguments["queries"] = torch.randn(1, 1, 3, 5, dtype=torch.float64)
    output = dialogue_rnn_scan(**arguments, concat=[weight, vector])
    history = output.global_states[0, 0, :2]
    scores = torch.tanh(history @ weight.T + arguments["queries"][0, 0, 2]) @ vector
    assert_same([output.attentions[0, 0, 2, :2]], [scores.softmax(-1)])


def test_runs_without_gradient_and_gives_the_same():
    arguments = make(2, (5, 2, 4), listener=True, keep=0.6)
    expected = dialogue_rnn_scan(**arguments)
    with torch.no_grad():
        output = dialogue_rnn_scan(**arguments)
    assert not output.emotion_states.requires_grad
    assert_same(output, expected)


def test_backward_twice_gives_the_same_gradients():
    arguments = make(1, (4, 3), listener=True)
    output = dialogue_rnn_scan(**arguments)
    assert_same(gradients(output, arguments), gradients(output, arguments))


def test_the_switch_selects_the_reference(monkeypatch):
    arguments = make(1, (3, 2))

    def by_reference():
        return type(dialogue_rnn_scan(**arguments).emotion_states.grad_fn).__name__ == "_TogetherBackward"

    assert not by_reference()
    with use_reference_ops():
        assert by_reference()
    assert not by_reference()
    monkeypatch.setenv("MM_EMOTION_OPS", "reference")
    assert by_reference()


def test_views_are_read_as_they_are():
    arguments = make(2, (5, 2, 4))
    expected = dialogue_rnn_scan(**arguments)
    storage = torch.zeros(3, 5, 2, arguments["inputs"].shape[-1] + 3, dtype=torch.float64)
    view = storage[..., 3:].movedim(2, 0)
    view.copy_(arguments["inputs"].detach())
    assert_same(dialogue_rnn_scan(**{**arguments, "inputs": view}), expected)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("weights", lambda a: a.update(weights=a["weights"][:9])),
        ("inputs", lambda a: a.update(inputs=a["inputs"][..., 1:])),
        ("queries", lambda a: a.update(queries=a["queries"][..., 1:])),
        ("speakers", lambda a: a.update(speakers=a["speakers"][:, 1:])),
        ("lengths", lambda a: a.update(lengths=a["lengths"][1:])),
        ("keep_mask", lambda a: a.update(keep_mask=torch.ones(1, 3, 5, 2, dtype=torch.bool))),
        ("keep_mask", lambda a: a.update(keep_mask=torch.ones(1, 3, 5, G + P + E))),
        ("speakers", lambda a: a.update(speakers=a["speakers"].int())),
        ("lengths", lambda a: a.update(lengths=a["lengths"].double())),
        ("lengths", lambda a: a.update(lengths=a["lengths"].to("meta"))),
        (r"weights\[3\]", lambda a: a["weights"].__setitem__(3, torch.zeros(3 * P, P, dtype=torch.float64))),
        (r"weights\[2\]", lambda a: a["weights"].__setitem__(2, torch.zeros(3 * G))),
        ("weights", lambda a: a["weights"].__setitem__(1, torch.zeros(3, dtype=torch.float64))),
    ],
)
def test_a_wrong_argument_is_named(name, change):
    arguments = make()
    change(arguments)
    with pytest.raises(BatchError, match=f"^{name}"):
        dialogue_rnn_scan(**arguments)


def test_a_stream_has_one_direction():
    zeros = torch.zeros(1, 3, 3, P, dtype=torch.float64)
    state = ScanState(torch.zeros(3, 0, G), torch.zeros(3, dtype=torch.int64), zeros, zeros[:, :, 0, :E])
    with pytest.raises(BatchError, match="state"):
        dialogue_rnn_scan(**make(2), state=state)
