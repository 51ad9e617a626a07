"""Latency of live use: one utterance of one running dialogue at a time, beside the whole dialogue again."""

from collections.abc import Iterator
from functools import partial

import torch
from timing import Case, Contest, agree
from torch import Tensor
from transformers import AutoConfig, AutoModel

from mm_emotion.models.modeling_emotion import EmotionPreTrainedModel

STEPS = 1000
UTTERANCES = 50  # of a dialogue, as many as IEMOCAP's have on average; then the next begins
WIDTH = 100  # of an utterance vector
FAMILIES: dict[str, dict[str, object]] = {
    "dialogue_rnn": {"model_type": "dialogue_rnn"},
    "dialogue_rnn_l": {"model_type": "dialogue_rnn", "listener_state": True},
    "bc_lstm, forward": {"model_type": "bc_lstm", "bidirectional": False},
    "memnet": {"model_type": "memnet"},
    "mfn, five utterances": {"model_type": "mfn", "window": 4},
    "cmn": {"model_type": "cmn"},
    "icon": {"model_type": "icon"},
}
"""Every causal dialogue family with its published sizes."""


def cases(device: str) -> Iterator[Case]:
    """One case a family; the median and the 95th percentile over `STEPS` calls."""
    for name in FAMILIES:
        yield case(name, device)


def case(name: str, device: str = "cpu", steps: int = STEPS, **sizes: int) -> Case:
    """`steps` utterances of one family; `sizes` replaces some of its fields."""
    model = network(name, sizes, "meta")
    flops = 2.0 * sum(parameter.numel() for parameter in model.parameters() if parameter.dim() == 2)
    read = 4.0 * model.num_parameters()
    build = partial(contest, name, sizes, device)
    shape = f"B1 U1 after up to {UTTERANCES - 1}"
    return Case(f"step {name}", shape, "forward", build, flops, (read, read), device=device, calls=steps)


def network(name: str, sizes: dict[str, int], device: str) -> EmotionPreTrainedModel:
    """The family's model with random weights."""
    with torch.random.fork_rng(), torch.device(device):
        torch.manual_seed(0)
        config = AutoConfig.for_model(**FAMILIES[name], modality_dims={"text": WIDTH}, num_labels=6, **sizes)
        return AutoModel.from_config(config).eval()


def contest(name: str, sizes: dict[str, int], device: str) -> Contest:
    generator = torch.Generator().manual_seed(0)
    speakers = torch.randint(0, 2, (1, UTTERANCES), generator=generator)
    dialogue = {
        "text": torch.randn(1, UTTERANCES, WIDTH, generator=generator).to(device),
        "speaker_mask": torch.nn.functional.one_hot(speakers, 2).bool().to(device),
    }
    model = network(name, sizes, device)
    return Contest({"whole dialogue again": Again(model, dialogue), "ours, step": Live(model, dialogue)}, agree)


class Again:
    """The next utterance of a dialogue by a forward pass over all there was."""

    def __init__(self, model: EmotionPreTrainedModel, dialogue: dict[str, Tensor]):
        self.model, self.dialogue, self.turn = model, dialogue, 0

    @torch.no_grad()
    def __call__(self) -> tuple[Tensor]:
        stop = self.turn % UTTERANCES + 1
        self.turn += 1
        return (self.model(**{key: value[:, :stop] for key, value in self.dialogue.items()}).logits[:, -1],)


class Live:
    """The next utterance of a dialogue by a step."""

    def __init__(self, model: EmotionPreTrainedModel, dialogue: dict[str, Tensor]):
        self.model, self.dialogue, self.turn, self.state = model, dialogue, 0, None

    def __call__(self) -> tuple[Tensor]:
        at = self.turn % UTTERANCES
        self.turn += 1
        utterance = {key: value[:, at : at + 1] for key, value in self.dialogue.items()}
        logits, self.state = self.model.step(utterance, self.state if at else None)
        return (logits[:, -1],)
