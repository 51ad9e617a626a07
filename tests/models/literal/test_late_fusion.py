"""Late fusion against Eq. 2 to 4 of Sebastian and Pierucci, on posteriors of two small children."""

import pytest
import torch

from mm_emotion.models import BCLSTMConfig, BCLSTMForEmotionRecognition, LateFusionForEmotionRecognition

from . import fusion as literal
from .cases import leaves, randomize

RULES = {
    "average": ({}, literal.average),
    "weighted": ({"weights": [0.3, 0.7]}, lambda posteriors: literal.weighted(posteriors, [0.3, 0.7])),
    "product": ({}, literal.product),
}


def children(count: int = 2) -> list[BCLSTMForEmotionRecognition]:
    torch.manual_seed(7)
    names = ("text", "audio", "visual")[:count]
    configs = [BCLSTMConfig(modality_dims={name: 3}, recurrent_size=2, hidden_size=3, num_labels=4) for name in names]
    return [randomize(BCLSTMForEmotionRecognition(config)) for config in configs]


def a_batch() -> dict[str, torch.Tensor]:
    mask = torch.tensor([[True, True, True], [True, False, False]])
    return {name: torch.randn(2, 3, 3, dtype=torch.float64) for name in ("text", "audio", "visual")} | {
        "utterance_mask": mask
    }


def posterior(logits: torch.Tensor) -> torch.Tensor:
    return torch.stack(literal.softmax(list(logits)))


@pytest.mark.parametrize("rule", RULES)
def test_d3_fused_posterior(rule):
    parts, batch = children(), a_batch()
    options, formula = RULES[rule]
    fused = LateFusionForEmotionRecognition.from_children(parts, rule=rule, **options).eval()
    said = [part(**batch).logits for part in parts]
    logits = fused(**batch).logits
    for cell in batch["utterance_mask"].nonzero().tolist():
        expected = formula([posterior(one[tuple(cell)]) for one in said])
        torch.testing.assert_close(posterior(logits[tuple(cell)]), expected)


def test_d3_product_without_the_class_itself_orders_classes_alike():
    parts, batch = children(), a_batch()
    fused = LateFusionForEmotionRecognition.from_children(parts, rule="product", exclude_self=True).eval()
    plain = LateFusionForEmotionRecognition.from_children(parts, rule="product").eval()
    said = [part(**batch).logits for part in parts]
    logits = fused(**batch).logits
    for cell in batch["utterance_mask"].nonzero().tolist():
        expected = literal.product([posterior(one[tuple(cell)]) for one in said], exclude_self=True)
        torch.testing.assert_close(logits[tuple(cell)].exp(), expected)
    assert torch.equal(logits.argsort(-1), plain(**batch).logits.argsort(-1))


def test_d3_gradients_reach_every_child():
    parts, batch = children(3), a_batch()
    shares = [0.2, 0.5, 0.3]
    fused = LateFusionForEmotionRecognition.from_children(parts, rule="weighted", weights=shares).eval()
    weights = leaves(fused)
    utterance = (0, 1)
    said = []
    for index, part in enumerate(parts):
        own = literal.under(weights, f"experts.{index}")
        said.append(posterior(torch.func.functional_call(part, own, kwargs=batch).logits[utterance]))
    pull = torch.randn(4, dtype=torch.float64)
    expected = torch.autograd.grad((literal.weighted(said, shares).log() * pull).sum(), list(weights.values()))
    ours = torch.autograd.grad((fused(**batch).logits[utterance] * pull).sum(), list(fused.parameters()))
    for our, their in zip(ours, expected, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-8, atol=1e-10)
