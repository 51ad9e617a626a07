"""The Tensor Fusion Network against its transcription, gradients and missing modalities included."""

import pytest
import torch

from mm_emotion.models import TFNConfig, TFNForEmotionRecognition

from . import fusion as literal
from .cases import inputs, leaves, randomize

SIZES = {"hidden_size": 3, "text_output_size": 2, "num_labels": 3}
WIDTHS = {"text": 3, "audio": 2, "visual": 4}
CASES = {
    "sequence": {"modality_dims": WIDTHS},
    "vector": {"modality_dims": WIDTHS, "text_input": "vector"},
    "two": {"modality_dims": {"text": 3, "mocap": 2}},
}


def build(**options: object) -> TFNForEmotionRecognition:
    torch.manual_seed(3)
    sizes = dict.fromkeys(options["modality_dims"], 4)
    model = randomize(TFNForEmotionRecognition(TFNConfig(**SIZES, subnet_sizes=sizes, **options)))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
    return model


def a_batch(model: TFNForEmotionRecognition, steps: int = 4) -> dict[str, torch.Tensor]:
    lengths = torch.tensor([[4, 2], [3, 0]])
    mask = torch.tensor([[True, True], [True, False]])
    batch = {"utterance_mask": mask}
    for key, axes in model.input_shapes().items():
        batch[key] = torch.randn(2, 2, *(steps if size is None else size for size in axes), dtype=torch.float64)
        if axes[0] is None:
            batch["text_mask"] = torch.arange(steps) < lengths[..., None]
    return batch


@pytest.mark.parametrize("case", CASES)
def test_d4_logits_and_gradients(case):
    model = build(**CASES[case])
    batch = a_batch(model)
    sequence = "text" if "text_mask" in batch else None
    weights = leaves(model)
    logits = model(**inputs(batch)).logits
    objective = literal_objective = torch.zeros((), dtype=torch.float64)
    for dialogue, utterance in batch["utterance_mask"].nonzero().tolist():
        vectors = {name: batch[name][dialogue, utterance] for name in model.config.modalities}
        if sequence:
            vectors["text"] = vectors["text"][batch["text_mask"][dialogue, utterance]]
        _, expected = literal.tfn(weights, vectors, sequence, epsilon=1e-5)
        torch.testing.assert_close(logits[dialogue, utterance], expected, rtol=1e-9, atol=1e-10)
        pull = torch.randn_like(expected)
        objective = objective + (logits[dialogue, utterance] * pull).sum()
        literal_objective = literal_objective + (expected * pull).sum()
    names = [name for name, _ in model.named_parameters()]
    ours = torch.autograd.grad(objective, list(model.parameters()))
    theirs = torch.autograd.grad(literal_objective, [weights[name] for name in names])
    for name, our, their in zip(names, ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=1e-8, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


def test_the_one_comes_first():
    """Weight [0, 0, 0] multiplies 1 * 1 * 1, whatever the modalities say."""
    model = build(**CASES["sequence"])
    with torch.no_grad():
        model.fusion.weight.zero_()
        model.fusion.weight[0, 0, 0] = torch.tensor([1.0, 2.0, 3.0])
        model.fusion.bias.zero_()
    batch = a_batch(model)
    hidden = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    expected = model.dense(hidden).relu()
    torch.testing.assert_close(model(**batch).hidden_states[batch["utterance_mask"]], expected.expand(3, 3))


def test_a_missing_modality_leaves_the_product_of_the_others():
    model = build(**CASES["sequence"])
    batch = a_batch(model)
    present = torch.ones(2, 2, 4, dtype=torch.bool)
    present[..., 1] = False
    weights = {name: value.detach() for name, value in model.state_dict().items()}
    vectors = [
        literal.sequence_subnet(literal.under(weights, "subnets.text"), batch["text"][0, 0]),
        literal.vector_subnet(literal.under(weights, "subnets.visual"), batch["visual"][0, 0], 1e-5),
    ]
    without = {"weight": weights["fusion.weight"][:, 0], "bias": weights["fusion.bias"]}
    hidden = literal.relu(literal.tensor_fusion(without, vectors))
    hidden = literal.relu(literal.linear(literal.under(weights, "dense"), hidden))
    output = model(**batch, modality_mask=present)
    torch.testing.assert_close(output.hidden_states[0, 0], hidden)
