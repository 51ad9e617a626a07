"""Contenders for the DialogueRNN recurrence, all from the same utterance vectors and the same weights."""

from collections.abc import Callable, Iterator

import torch
from timing import Case
from torch import Tensor, nn

from mm_emotion.ops._dialogue_rnn_scan_fused import fused_scan
from mm_emotion.ops._dialogue_rnn_scan_native import native_scan
from mm_emotion.ops._library import kernel_devices
from mm_emotion.ops.dialogue_rnn_scan import dialogue_rnn_scan_reference


class Literal(nn.Module):
    """The algorithm as DialogueRNN was released with: parties picked dialogue by dialogue, a history that grows by
    concatenation, every party's GRU run on every utterance."""

    def __init__(self, d: int, g: int, p: int, e: int):
        super().__init__()
        self.global_cell, self.party_cell = nn.GRUCell(d + p, g), nn.GRUCell(d + g, p)
        self.emotion_cell, self.query = nn.GRUCell(p, e), nn.Linear(d, g, bias=False)

    def forward(self, utterances: Tensor, speakers: Tensor, lengths: Tensor, parties: int) -> Tensor:
        batch, steps, _ = utterances.shape
        party = utterances.new_zeros(batch, parties, self.party_cell.hidden_size)
        emotion = utterances.new_zeros(batch, self.emotion_cell.hidden_size)
        history = utterances.new_zeros(0, batch, self.global_cell.hidden_size)
        emotions = []
        for t in range(steps):
            u, spoken = utterances[:, t], nn.functional.one_hot(speakers[:, t], parties).to(utterances.dtype)
            last = history[-1] if t else utterances.new_zeros(batch, self.global_cell.hidden_size)
            new = self.global_cell(torch.cat([u, self.pick(party, speakers[:, t])], 1), last)
            if t:
                scores = torch.bmm(self.query(u)[:, None], history.permute(1, 2, 0)).softmax(-1)
                context = torch.bmm(scores, history.transpose(0, 1))[:, 0]
            else:
                context = torch.zeros_like(new)
            heard = torch.cat([u, context], 1)[:, None].expand(-1, parties, -1)
            moved = self.party_cell(heard.flatten(0, 1), party.flatten(0, 1)).view_as(party)
            party = party * (1 - spoken)[..., None] + moved * spoken[..., None]
            emotion = self.emotion_cell(self.pick(party, speakers[:, t]), emotion)
            history = torch.cat([history, new[None]])
            emotions.append(emotion)
        real = torch.arange(steps) < lengths[:, None]
        return torch.stack(emotions, 1) * real[..., None]

    @staticmethod
    def pick(party: Tensor, speakers: Tensor) -> Tensor:
        return torch.cat([states[index.item()][None] for states, index in zip(party, speakers, strict=True)])

    def projections(self, utterances: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Inputs, queries and recurrent weights of the op, made of this module's parameters."""
        d, cells = utterances.shape[2], (self.global_cell, self.party_cell)
        matrix = torch.cat([cell.weight_ih[:, :d] for cell in cells])
        inputs = nn.functional.linear(utterances, matrix, torch.cat([cell.bias_ih for cell in cells]))
        weights = []
        for cell in cells:
            weights += [cell.weight_ih[:, d:], cell.weight_hh, cell.bias_hh]
        cell = self.emotion_cell
        weights += [cell.weight_ih, cell.bias_ih, cell.weight_hh, cell.bias_hh]
        return inputs[None], self.query(utterances)[None], weights


class ThreeGRUs(nn.Module):
    """Plain GRUs of the same matrix products; no attention, no parties: less work than the scan."""

    def __init__(self, d: int, g: int, p: int, e: int):
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.GRU(d + p, g, batch_first=True),
                nn.GRU(d + g, p, batch_first=True),
                nn.GRU(p, e, batch_first=True),
            ]
        )
        self.g, self.p = g, p

    def forward(self, utterances: Tensor) -> Tensor:
        first = self.layers[0](nn.functional.pad(utterances, (0, self.p)))[0]
        second = self.layers[1](torch.cat([utterances, first], -1))[0]
        return self.layers[2](second)[0]


def cases() -> Iterator[Case]:
    """Published sizes forward and forward+backward; ragged lengths; many parties; one dialogue alone."""
    generator = torch.Generator().manual_seed(0)
    ragged = torch.randint(8, 91, (30,), generator=generator)
    ragged[0] = 110
    full = torch.full((30,), 110)
    for backward in (False, True):
        yield case("B30 U110 D100 G500 P500 E300", (100, 500, 500, 300), full, 2, backward)
    name = f"B30 U8-110 (mean {ragged.double().mean():.0f}) D100 G500 P500 E300"
    yield case(name, (100, 500, 500, 300), ragged, 2, True)
    yield case("B30 U110 D100 G150 P150 E100, 9 parties", (100, 150, 150, 100), full, 9, True)
    yield case("B1 U110 D100 G500 P500 E300", (100, 500, 500, 300), full[:1], 2, False)


def case(shape: str, sizes: tuple[int, int, int, int], lengths: Tensor, parties: int, backward: bool) -> Case:
    """One case; its first contender is the literal transcription."""
    d, g, p, e = sizes
    generator = torch.Generator().manual_seed(1)
    batch, steps = len(lengths), int(lengths.max())
    utterances = torch.randn(batch, steps, d, generator=generator)
    direction = torch.randn(batch, steps, e, generator=generator)
    speakers = torch.randint(0, parties, (batch, steps), generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(2)
        module, plain = Literal(*sizes), ThreeGRUs(*sizes)

    def finish(owner: nn.Module, emotion: Tensor) -> tuple[Tensor, ...]:
        if not backward:
            return (emotion,)
        return emotion.detach(), *torch.autograd.grad((emotion * direction).sum(), list(owner.parameters()))

    def contender(owner: nn.Module, emotions: Callable[[], Tensor]) -> Callable[[], tuple[Tensor, ...]]:
        def run():
            with torch.set_grad_enabled(backward):
                return finish(owner, emotions())

        return run

    def through(scan) -> Callable[[], Tensor]:
        def emotions():
            inputs, queries, weights = module.projections(utterances)
            if scan is dialogue_rnn_scan_reference:
                return scan(inputs, queries, speakers, lengths, weights, num_parties=parties).emotion_states
            return scan(inputs, queries, speakers, lengths, weights, parties, None, 1.0)[0]

        return emotions

    contenders = {
        "literal transcription": contender(module, lambda: module(utterances, speakers, lengths, parties)),
        "vectorised": contender(module, through(dialogue_rnn_scan_reference)),
        "hand-written backward, PyTorch": contender(module, through(fused_scan)),
        "three nn.GRU (less work)": contender(plain, lambda: plain(utterances)),
    }
    if "cpu" in kernel_devices():
        contenders["native"] = contender(module, through(native_scan))

    def check(results: dict[str, object]) -> None:
        expected = results["literal transcription"]
        for name, result in results.items():
            if not name.startswith("three"):
                torch.testing.assert_close(
                    result, expected, atol=1e-3, rtol=1e-3, msg=lambda text, n=name: f"{n}: {text}"
                )

    rows = int(lengths.sum())
    flops = 2.0 * rows * (3 * (g * (d + p + g) + p * (d + g + p) + e * (p + e)) + d * g)
    left_out = {"torch.compile": "unrolls every utterance", "ONNX Runtime": "not a dependency of the benchmark"}
    direction_name = "forward+backward" if backward else "forward"
    return Case(
        "dialogue_rnn_scan", shape, direction_name, contenders, check, flops * (3 if backward else 1), left_out=left_out
    )
