"""Whole jobs with BiDialogueRNN+Att at the lengths of real dialogues, beside the literal transcription."""

from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import partial

import lengths as real_lengths
import literal
import torch
from timing import Case, Contest, agree
from torch import Tensor

from mm_emotion.models import DialogueRNNConfig, DialogueRNNForEmotionRecognition
from mm_emotion.ops import kernel_devices
from mm_emotion.training.recipe import load_recipe

RECIPE = load_recipe("dialogue_rnn/iemocap_bidialogue_rnn_att_text")
Batch = dict[str, Tensor]


def cases(device: str) -> Iterator[Case]:
    """Thirty dialogues forward and backward, then one epoch of training."""
    name, chosen = real_lengths.spread(RECIPE.training.batch_size)
    yield batch_case(f"B{len(chosen)} {name}", chosen, device)
    name, every = real_lengths.dialogue_lengths(training=True)
    yield epoch_case(f"{len(every)} dialogues, {name} lengths", every, device)


def batch_case(shape: str, chosen: Tensor, device: str, **sizes: int) -> Case:
    """The model without dropout: logits and the gradient of every parameter."""
    build = partial(batch_contest, chosen, device, sizes)
    return Case("bidialogue_rnn_att", shape, "forward+backward", build, flops(int(chosen.sum()), sizes), device=device)


def epoch_case(shape: str, every: list[int], device: str, **sizes: int) -> Case:
    """Training steps over all dialogues, with dropout and optimiser, as the recipe has them."""
    build = partial(epoch_contest, every, device, sizes)
    return Case("bidialogue_rnn_att", shape, "training epoch", build, flops(sum(every), sizes), device=device)


def network(sizes: dict[str, int], device: str) -> DialogueRNNForEmotionRecognition:
    """The recipe's model with random weights; `sizes` replaces some of its fields."""
    fields = {key: value for key, value in RECIPE.model.items() if key != "model_type"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DialogueRNNForEmotionRecognition(DialogueRNNConfig(**fields | sizes)).to(device)


def flops(utterances: int, sizes: dict[str, int]) -> float:
    """Of the matrix products, forward and backward: six for every use of a parameter."""
    parameters = network(sizes, "cpu").parameters()
    return 6.0 * utterances * sum(parameter.numel() for parameter in parameters if parameter.dim() == 2)


def batch(chosen: Tensor, config: DialogueRNNConfig, device: str) -> Batch:
    """Random utterance vectors, speakers and labels for dialogues of these lengths, as the collator has them."""
    generator = torch.Generator().manual_seed(0)
    shape = len(chosen), int(chosen.max())
    real = torch.arange(shape[1]) < chosen[:, None]  # (B, U)
    speakers = torch.randint(0, 2, shape, generator=generator)
    labels = torch.randint(0, config.num_labels, shape, generator=generator)
    made = {
        "text": torch.randn(*shape, config.input_size, generator=generator) * real[..., None],
        "speaker_mask": torch.nn.functional.one_hot(speakers, 2).bool() & real[..., None],
        "utterance_mask": real,
        "labels": labels.masked_fill(~real, -100),
    }
    return {key: value.to(device) for key, value in made.items()}


def ours(model: DialogueRNNForEmotionRecognition, given: Batch) -> Tensor:
    return model(**{key: value for key, value in given.items() if key != "labels"}).logits


def transcribed(model: DialogueRNNForEmotionRecognition, given: Batch) -> Tensor:
    text, spoken, real = given["text"], given["speaker_mask"].float(), given["utterance_mask"].float()
    return literal.logits(model, text, spoken, real) * real[..., None]


def loss(model: DialogueRNNForEmotionRecognition, logits: Tensor, given: Batch) -> Tensor:
    numerator, denominator = model.loss_terms(logits, given["labels"], given["utterance_mask"])
    return numerator / denominator


def name_of_ours(device: str) -> str:
    return "ours" if device in kernel_devices() else "ours, hand-written backward in PyTorch"


def batch_contest(chosen: Tensor, device: str, sizes: dict[str, int]) -> Contest:
    model = network(sizes, device).eval()
    given = batch(chosen, model.config, device)

    def run(logits_of: Callable) -> tuple[Tensor, ...]:
        logits = logits_of(model, given)
        gradients = torch.autograd.grad(loss(model, logits, given), list(model.parameters()))
        return logits.detach(), *gradients

    contenders = {"literal transcription": partial(run, transcribed), name_of_ours(device): partial(run, ours)}
    return Contest(contenders, agree)


def epoch_contest(every: list[int], device: str, sizes: dict[str, int]) -> Contest:
    training, start = RECIPE.training, network(sizes, device).train()
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(0))
    batches = [batch(part, start.config, device) for part in torch.tensor(every)[order].split(training.batch_size)]

    def trainer(logits_of: Callable) -> Callable[[], tuple[Tensor]]:
        model = deepcopy(start)
        optimizer = torch.optim.Adam(model.parameters(), training.learning_rate, weight_decay=training.weight_decay)

        def epoch() -> tuple[Tensor]:
            total = torch.zeros((), device=device)
            for given in batches:
                value = loss(model, logits_of(model, given), given)
                value.backward()
                optimizer.step()
                optimizer.zero_grad()
                total += value.detach()
            return (total / len(batches),)

        return epoch

    def check(results: dict[str, tuple[Tensor]]) -> None:
        # Each draws its own dropout; that both compute the same is for the case without it to say.
        (expected,), *others = results.values()
        assert all(abs(float(other - expected)) < 0.1 for (other,) in others), results

    contenders = {"literal transcription": trainer(transcribed), name_of_ours(device): trainer(ours)}
    return Contest(contenders, check)
