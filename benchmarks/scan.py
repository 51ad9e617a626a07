"""Contenders for the DialogueRNN recurrence, all from the same utterance vectors and the same weights."""

from collections.abc import Callable, Iterator
from functools import partial

import bare_products
import graphs
import lengths as real_lengths
import literal
import onednn
import onnx_gru
import rivals
import torch
import torch.nn.functional as F
from machine import DTYPES
from timing import Case, Contender, Contest, agree
from torch import Tensor, nn

from mm_emotion.errors import BatchError
from mm_emotion.models import DialogueRNNConfig
from mm_emotion.models.dialogue_rnn.modeling_dialogue_rnn import DialogueRNNCell
from mm_emotion.ops._dialogue_rnn_scan_fused import fused_scan
from mm_emotion.ops._library import kernel_devices
from mm_emotion.ops.dialogue_rnn_scan import dialogue_rnn_scan, dialogue_rnn_scan_reference
from mm_emotion.ops.masking import reading_order

PUBLISHED, SMALL = (100, 500, 500, 300), (100, 150, 150, 100)
DIRECTIONS = ("forward", "forward+backward")


def cases(device: str) -> Iterator[Case]:
    """Published sizes, ragged lengths, many parties, one dialogue alone, half precision, and the cost of one call."""
    full = torch.full((30,), 110)
    both = {"directions": 2, "device": device}
    if device == "cuda":
        for dtype in DTYPES:
            for direction in DIRECTIONS:
                yield case(PUBLISHED, full, direction, dtype=dtype, compiled=True, **both)
        for batch in (30, 240):
            yield case(SMALL, torch.full((batch,), 110), "forward", dtype="bfloat16", **both)
    for direction in DIRECTIONS:
        yield case(PUBLISHED, full, direction, device=device, compiled=device == "cpu")
    name, ragged = real_lengths.spread(30)
    yield case(PUBLISHED, ragged, "forward+backward", name=name, device=device)
    yield case(SMALL, full, "forward+backward", parties=9, device=device)
    yield case(PUBLISHED, full[:1], "forward", device=device)
    if device == "cpu":
        for direction in DIRECTIONS:
            yield case(PUBLISHED, full, direction, dtype="bfloat16")
    for direction in DIRECTIONS:
        yield case((8, 8, 8, 8), torch.tensor([1]), direction, device=device)


def case(
    sizes: tuple[int, int, int, int],
    lengths: Tensor,
    direction: str,
    parties: int = 2,
    directions: int = 1,
    dtype: str = "float32",
    device: str = "cpu",
    compiled: bool = False,
    name: str | None = None,
) -> Case:
    """One case; its first contender is the literal transcription."""
    d, g, p, e = sizes
    shape = f"B{len(lengths)} {name or f'U{int(lengths.max())}'} D{d} G{g} P{p} E{e}"
    shape += (", both ways" if directions == 2 else "") + (f", {parties} parties" if parties != 2 else "")
    passes = 3 if direction == "forward+backward" else 1
    flops = 2.0 * int(lengths.sum()) * (3 * (g * (d + p + g) + p * (d + g + p) + e * (p + e)) + d * g) * directions
    # A CPU reads the recurrent weights anew for every utterance, and once more on the way back; a GPU can keep them.
    # What the emotion state reads of the party's may be one product after the rest.
    held = 3 * (g * (p + g) + p * (g + p) + e * e) * directions * DTYPES[dtype].itemsize
    reads = int(lengths.max()) * (1 + (passes > 1)) if device == "cpu" else 1
    build = partial(contest, sizes, lengths, direction, parties, directions, dtype, device, compiled)
    return Case("dialogue_rnn_scan", shape, direction, build, flops * passes, (held * reads, held), dtype, device)


def contest(
    sizes: tuple[int, int, int, int],
    lengths: Tensor,
    direction: str,
    parties: int,
    directions: int,
    dtype: str,
    device: str,
    compiled: bool,
) -> Contest:
    """The contenders of one case; each gives the emotion states and, backward, the gradient of every parameter."""
    (d, g, p, e), backward = sizes, direction == "forward+backward"
    generator = torch.Generator().manual_seed(1)
    batch, steps = len(lengths), int(lengths.max())
    target = {"device": device, "dtype": DTYPES[dtype]}
    utterances = torch.randn(batch, steps, d, generator=generator).to(**target)
    d_emotion = torch.randn(batch, steps, directions * e, generator=generator).to(**target)
    speakers = torch.randint(0, parties, (batch, steps), generator=generator).to(device)
    spoken = F.one_hot(speakers, parties).to(**target)
    real = (torch.arange(steps) < lengths[:, None])[..., None].to(**target)  # (B, U, 1)
    lengths = lengths.to(device)
    config = DialogueRNNConfig(modality_dims={"text": d}, global_size=g, party_size=p, emotion_size=e)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        cells = nn.ModuleList(DialogueRNNCell(config) for _ in range(directions)).to(**target)
        plain = rivals.ThreeGRUs(*sizes, directions).to(**target)

    def contender(owner: nn.Module, emotions: Callable[[], Tensor], mode: Callable | None = None) -> Contender:
        leaves = list(owner.parameters())

        def run():
            with torch.set_grad_enabled(backward):
                states = emotions()
                if not backward:
                    return (states,)
                return states.detach(), *torch.autograd.grad(states, leaves, d_emotion, materialize_grads=True)

        return run if mode is None else within(mode, run)

    def released() -> Tensor:
        states = [literal.direction(cells[0], utterances, spoken)]
        if directions == 2:
            turned = literal.direction(cells[1], literal.reverse(utterances, lengths), literal.reverse(spoken, lengths))
            states.append(literal.reverse(turned, lengths))
        return torch.cat(states, 2) * real

    def projections() -> tuple[Tensor, Tensor, list[Tensor]]:
        weight, bias = (torch.cat(parts) for parts in zip(*(cell.reader() for cell in cells), strict=True))
        inputs = F.linear(utterances, weight, bias).unflatten(-1, (directions, -1)).movedim(2, 0)
        queries = torch.stack([cell.queries(utterances) for cell in cells])
        return inputs, queries, [weight for cell in cells for weight in cell.weights()]

    def public(scan: Callable) -> Callable[[], Tensor]:
        def emotions():
            inputs, queries, weights = projections()
            return scan(inputs, queries, speakers, lengths, weights, num_parties=parties).emotion_states

        return emotions

    def fused() -> Tensor:
        inputs, queries, weights = projections()
        return fused_scan(inputs, queries, speakers, lengths, weights, parties, None, 1.0)[0]

    def stepwise(step: Callable) -> Tensor:
        inputs, queries, weights = projections()
        states, rows = [], torch.arange(batch, device=device)[:, None]
        for way in range(directions):
            order = reading_order(lengths, steps, backward=way == 1)
            own = weights[10 * way : 10 * way + 10]
            read = (inputs[way][rows, order], queries[way][rows, order], speakers[rows, order])
            states.append(rivals.stepwise(step, *read, own, parties)[rows, order])
        return torch.cat(states, 2) * real

    by_hand, grus, bare = "hand-written backward", "three GRUs (less work)", "its matrix products alone"
    contenders = {
        "literal transcription": contender(cells, released),
        "vectorised": contender(cells, public(dialogue_rnn_scan_reference)),
        f"{by_hand}, {onednn.blas(device)}": contender(cells, fused),
        f"{grus}, {'cuDNN' if device == 'cuda' else 'nn.GRU'}": contender(plain, lambda: plain(utterances)),
    }
    left_out = {}
    if compiled:
        # What is compiled runs on one thread, too short to be worth sharing; the matrix products stay PyTorch's.
        torch.compiler.reset()  # or sizes that differ from those of the case before would become symbols
        compiled_step = torch.compile(rivals.step, options={"cpp.threads": 1})
        contenders["vectorised, steps compiled"] = contender(cells, partial(stepwise, compiled_step))
    if device == "cuda":
        graphs.add_graphed(contenders, left_out, ["vectorised", f"{by_hand}, {onednn.blas(device)}"])
    elif dtype == "float32":
        products = bare_products.of_scan(sizes, lengths, backward, directions)
        contenders[f"{bare}, {onednn.blas(device)}"] = products
        if onednn.available():
            contenders[f"{by_hand}, oneDNN"] = contender(cells, fused, onednn.instead_of_blas)
            contenders[f"{bare}, oneDNN"] = within(onednn.instead_of_blas, products)
        if backward or directions == 2:
            left_out[f"{grus}, ONNX Runtime"] = "only forward and in one direction"
        elif reason := onnx_gru.missing():
            left_out[f"{grus}, ONNX Runtime"] = reason
        else:
            contenders[f"{grus}, ONNX Runtime"] = onnx_gru.session(plain, utterances)
    if device in kernel_devices():
        ours = contender(cells, public(dialogue_rnn_scan))
        try:
            ours()
            contenders["ours"] = ours
        except (BatchError, NotImplementedError) as error:  # a dtype that the kernel does not take
            left_out["ours"] = str(error)
    else:
        left_out["ours"] = f"no native kernel for {device} in this build: the hand-written backward is what runs"

    def check(results: dict[str, object]) -> None:
        agree({name: result for name, result in results.items() if not name.startswith((grus, bare))}, dtype)
        agree({name: result for name, result in results.items() if name.startswith(grus)}, dtype)

    return Contest(contenders, check, left_out)


def within(mode: Callable, run: Contender) -> Contender:
    """`run` inside the context that `mode` makes."""

    def run_in_mode() -> object:
        with mode():
            return run()

    return run_in_mode
