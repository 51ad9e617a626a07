"""What every op keeps on a CUDA device: order of streams, no wait for the host, graphs, the same bits each time."""

import pytest
import torch

from mm_emotion.ops import kernel_devices, use_reference_ops
from mm_emotion.ops.dialogue_rnn_scan import dialogue_rnn_scan
from mm_emotion.ops.product_fusion import product_fusion
from mm_emotion.ops.tensor_fusion import tensor_fusion_linear

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(
        not torch.cuda.is_available() or "cuda" not in kernel_devices(),
        reason="needs a GPU, CUDA kernels and MM_EMOTION_CUDA=1",
    ),
]


def run_product(log_probs, weights):
    return product_fusion(log_probs, weights, modality_mask=log_probs.detach()[..., 0] > -1)


def run_tensor(*tensors):
    *xs, weight, bias = tensors
    return tensor_fusion_linear(list(xs), weight, bias)


def run_scan(inputs, queries, speakers, *weights):
    lengths = torch.full((inputs.shape[1],), inputs.shape[2] - 1, device=inputs.device)
    output = dialogue_rnn_scan(inputs, queries, speakers, lengths, list(weights), num_parties=2)
    return torch.cat([states.flatten() for states in output[:3]])


def scan_shapes(g, p, e):
    shapes = [(3 * g, p), (3 * g, g), (3 * g,), (3 * p, g), (3 * p, p), (3 * p,)]
    return [*shapes, (3 * e, p), (3 * e,), (3 * e, e), (3 * e,)]


OPS = {
    "product_fusion": (run_product, [(2001, 3, 7), (3,)], []),
    "product_fusion_long": (run_product, [(50, 3, 300), (3,)], []),
    "tensor_fusion": (run_tensor, [(32, 20), (32, 10), (32, 8), (21, 11, 9, 40), (40,)], []),
    "tensor_fusion_large": (run_tensor, [(300, 12), (300, 10), (13, 11, 24), (24,)], []),
    "dialogue_rnn_scan": (run_scan, [(1, 6, 9, 6 * 24), (1, 6, 9, 24), *scan_shapes(24, 24, 16)], [(6, 9)]),
}
op = pytest.mark.parametrize("name", OPS)


def draw(name, seed):
    """Fresh leaves, and the whole-number arguments between the second of them and the others."""
    _, shapes, integers = OPS[name]
    chance = torch.Generator("cuda").manual_seed(seed)
    leaves = [torch.randn(shape, generator=chance, device="cuda") * 0.3 for shape in shapes]
    if name.startswith("product"):
        leaves = [leaves[0].log_softmax(-1), leaves[1].abs()]
    whole = [torch.randint(0, 2, shape, generator=chance, device="cuda") for shape in integers]
    return [leaf.requires_grad_() for leaf in leaves], whole


def results(name, leaves, whole):
    """The value and every gradient."""
    run = OPS[name][0]
    out = run(*leaves[:2], *whole, *leaves[2:]) if whole else run(*leaves)
    return [out.detach(), *torch.autograd.grad(out.square().sum(), leaves)]


@op
def test_a_thousand_calls_on_changing_inputs(name):
    for seed in range(1000):
        leaves, whole = draw(name, seed)
        found = results(name, leaves, whole)
        exact = [leaf.detach().double().requires_grad_() for leaf in leaves]
        with use_reference_ops():
            wanted = results(name, exact, whole)
        for one, other in zip(found, wanted, strict=True):
            assert (one - other).norm() <= 2e-5 * other.norm().clamp(min=1e-6), (name, seed)


@op
def test_the_same_bits_each_time(name):
    leaves, whole = draw(name, 0)
    first = results(name, leaves, whole)
    for _ in range(20):
        assert all(torch.equal(one, other) for one, other in zip(first, results(name, leaves, whole), strict=True))


@op
def test_no_wait_for_the_host(name):
    leaves, whole = draw(name, 0)
    results(name, leaves, whole)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        results(name, leaves, whole)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@op
def test_work_is_put_on_the_current_stream(name):
    leaves, whole = draw(name, 0)
    expected = results(name, leaves, whole)
    late = [torch.full_like(leaf, torch.nan) for leaf in leaves]
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        torch.cuda._sleep(50_000_000)
        for empty, leaf in zip(late, leaves, strict=True):
            empty.copy_(leaf.detach())
        found = results(name, [tensor.requires_grad_() for tensor in late], whole)
    torch.cuda.synchronize()
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))


@op
def test_a_graph_replays_on_other_inputs(name):
    leaves, whole = draw(name, 0)
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        for _ in range(3):
            results(name, leaves, whole)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = results(name, leaves, whole)
    for seed in (1, 2):
        others, other_whole = draw(name, seed)
        expected = results(name, others, other_whole)
        with torch.no_grad():
            for old, new in zip([*leaves, *whole], [*others, *other_whole], strict=True):
                old.copy_(new)
        graph.replay()
        torch.cuda.synchronize()
        assert all(torch.equal(one, other) for one, other in zip(captured, expected, strict=True))


@op
def test_compiles_whole(name):
    leaves, whole = draw(name, 0)
    run = OPS[name][0]
    arguments = [*leaves[:2], *whole, *leaves[2:]] if whole else leaves
    compiled = torch.compile(run, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*arguments), run(*arguments))
