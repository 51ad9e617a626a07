from itertools import combinations, product

import pytest
import torch
from transformers import AutoConfig, AutoModel

from mm_emotion.errors import BatchError, ConfigError
from mm_emotion.models import EarlyFusionConfig, EarlyFusionForEmotionRecognition

WIDTHS = {"text": 300, "audio": 74, "visual": 35}
DENSE = [{"kind": "dense", "units": 4, "activation": "relu"}]
POOLED = [{"kind": "lstm", "units": 3}, *DENSE]
GOOD = {
    "modality_dims": {"audio": 2, "text": 3},
    "stack": {"model_type": "sequence_stack", "modality_dims": {"visual": 5}, "stages": POOLED},
    "num_labels": 3,
}
VECTORS = {"stack": {**GOOD["stack"], "stages": DENSE, "input_kind": "vector"}}


def build(**options) -> EarlyFusionForEmotionRecognition:
    torch.manual_seed(0)
    return EarlyFusionForEmotionRecognition(EarlyFusionConfig(**{**GOOD, **options})).eval()


def alone(model: EarlyFusionForEmotionRecognition) -> torch.nn.Module:
    """The stack as a model of its own."""
    stack = AutoModel.from_config(AutoConfig.for_model(**model.config.stack)).eval()
    stack.load_state_dict(model.stack.state_dict())
    return stack


def sequences() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    real = torch.arange(5) < torch.tensor([[[5], [2]], [[4], [1]]])  # (B, U, T)
    values = {"text": torch.randn(2, 2, 5, 3), "audio": torch.randn(2, 2, 5, 2)}
    return values | {"text_mask": real, "audio_mask": real}


def test_the_stack_reads_aligned_steps_side_by_side():
    model, batch = build(), sequences()
    joined = torch.cat([batch["text"], batch["audio"]], -1)  # in the order of the schema
    expected = alone(model)(visual=joined, visual_mask=batch["text_mask"])
    output = model(**batch)
    torch.testing.assert_close(output.logits, expected.logits)
    torch.testing.assert_close(output.hidden_states, expected.hidden_states)


def test_a_missing_modality_is_zeros_in_steps_that_the_others_count():
    model, batch = build(), sequences()
    present = torch.ones(2, 2, 4, dtype=torch.bool)
    present[0, 0, 1] = False
    zeroed = {**batch, "audio": batch["audio"].clone()}
    zeroed["audio"][0, 0] = 0
    torch.testing.assert_close(model(**batch, modality_mask=present).logits, model(**zeroed).logits)
    without = {key: value for key, value in batch.items() if not key.startswith("audio")}
    zeroed["audio"] = torch.zeros_like(batch["audio"])
    torch.testing.assert_close(model(**without).logits, model(**zeroed).logits)


def test_words_as_one_of_a_vocabulary_stand_in_front():
    stack = {"model_type": "sequence_stack", "modality_dims": {"visual": 9}, "stages": POOLED}
    model, batch = build(one_hot_words=4, stack=stack), sequences()
    assert model.input_shapes() == {"input_ids": (None,), "text": (None, 3), "audio": (None, 2)}
    batch["input_ids"] = torch.randint(1, 4, (2, 2, 5)).masked_fill(~batch["text_mask"], 0)
    words = torch.zeros(2, 2, 5, 4)
    for place in batch["text_mask"].nonzero().tolist():
        words[(*place, batch["input_ids"][tuple(place)])] = 1
    joined = torch.cat([words, batch["text"], batch["audio"]], -1)
    output = model(**batch)
    torch.testing.assert_close(output.logits, alone(model)(visual=joined, visual_mask=batch["text_mask"]).logits)
    with pytest.raises(BatchError, match="word indices below 4"):
        model(**{**batch, "input_ids": batch["input_ids"] + 3})
    only = build(one_hot_words=4, modality_dims={}, stack={**stack, "modality_dims": {"visual": 4}})
    logits = only(input_ids=batch["input_ids"], text_mask=batch["text_mask"]).logits
    torch.testing.assert_close(logits, alone(only)(visual=words, visual_mask=batch["text_mask"]).logits)


def test_eq_1_projects_before_the_stack():
    model = build(projection_size=6, stack={**VECTORS["stack"], "modality_dims": {"text": 6}})
    text, audio = torch.randn(2, 1, 3), torch.randn(2, 1, 2)
    fused = torch.tanh(torch.cat([text, audio], -1) @ model.projection.weight.mT + model.projection.bias)
    torch.testing.assert_close(model(text=text, audio=audio).logits, alone(model)(text=fused).logits)


@pytest.mark.parametrize("clamp_in_loss", [False, True])
def test_the_bound_acts_outside_of_training(clamp_in_loss):
    model = build(**VECTORS, problem_type="regression", output_range=[0.0, 0.1], clamp_in_loss=clamp_in_loss)
    batch = {"text": torch.randn(8, 1, 3) * 9, "audio": torch.randn(8, 1, 2)}
    free = alone(model)(**{"visual": torch.cat([batch["text"], batch["audio"]], -1)}).logits
    assert (free.min() < 0) and (free.max() > 0.1)
    torch.testing.assert_close(model(**batch).logits, free.clamp(0, 0.1))
    torch.testing.assert_close(model.train()(**batch).logits, free.clamp(0, 0.1) if clamp_in_loss else free)


def network(kind: str, width: int, fully_connected: int, convolutions: int, steps: int) -> dict:
    """One cell of the grid of Williams et al., with batch normalisation behind each hidden layer."""
    norm = {"kind": "norm", "over": "batch"}
    if kind == "cnn":
        convolution = {"kind": "conv1d", "filters": 64, "kernel_size": 3, "padding": "same", "activation": "relu"}
        stages = [convolution, {"kind": "pool", "reduce": "max", "size": 2}] * convolutions
        stages += [{"kind": "flatten"}, norm]
    else:
        stages = [{"kind": "lstm", "units": 64, "bidirectional": kind == "blstm"}, norm]
    dense = [{"kind": "dense", "units": 100, "activation": "relu"}, norm, {"kind": "dropout", "rate": 0.2}]
    return {
        "model_type": "sequence_stack",
        "modality_dims": {"text": width},
        "max_length": steps,
        "mask_padding": False,
        "stages": stages + dense * fully_connected,
    }


@pytest.mark.parametrize("kind", ["lstm", "blstm", "cnn"])
@pytest.mark.parametrize("names", [names for size in (1, 2, 3) for names in combinations(WIDTHS, size)], ids="+".join)
def test_b1_every_subset_and_corner_of_the_grid(kind, names):
    widths = {name: WIDTHS[name] for name in names}
    for fully_connected, convolutions, steps in product((1, 3), (1, 3) if kind == "cnn" else (1,), (15, 30)):
        stack = network(kind, sum(widths.values()), fully_connected, convolutions, steps)
        bound = {"problem_type": "regression", "loss": "mae", "output_range": [0.0, 3.0]}
        config = EarlyFusionConfig(modality_dims=widths, num_labels=6, stack=stack, **bound)
        with torch.device("meta"):
            model = EarlyFusionForEmotionRecognition(config)
            batch = {name: torch.empty(2, 1, steps, width) for name, width in widths.items()}
            batch["utterance_mask"] = torch.ones(2, 1, dtype=torch.bool)
        assert model.input_shapes() == {name: (steps, width) for name, width in widths.items()}
        assert model.eval().num_parameters() == sum(parameter.numel() for parameter in model.parameters())
        first = model.stack.stages[0]
        units, ways = 64, 2 if kind == "blstm" else 1
        layer = 4 * units * (sum(widths.values()) + units + 1) * ways
        layer = 64 * (3 * sum(widths.values()) + 1) if kind == "cnn" else layer
        assert sum(parameter.numel() for parameter in first.parameters()) == layer


def test_joint_cnn_has_its_published_size():
    convolution = {"kind": "conv1d", "filters": 128, "kernel_size": 5, "activation": "relu"}
    halves = {"kind": "pool", "reduce": "max", "size": 2}
    stages = [{"kind": "expand", "axis": "channels"}, convolution, halves, convolution, halves, {"kind": "flatten"}]
    stages += [{"kind": "dense", "units": units, "activation": "relu"} for units in (512, 128)]
    stack = {"model_type": "sequence_stack", "input_kind": "vector", "modality_dims": {"text": 200}, "stages": stages}
    config = EarlyFusionConfig(
        modality_dims={"text": 100, "audio": 100}, projection_size=200, stack=stack, num_labels=6
    )
    with torch.device("meta"):
        model = EarlyFusionForEmotionRecognition(config)
    assert model.num_parameters() == 3_270_158


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"stack": None}, "stack"),
        ({"stack": {"model_type": "sequence_stak"}}, "stack.model_type"),
        ({"stack": {**GOOD["stack"], "modality_dims": {"visual": 6}}}, "stack.modality_dims"),
        ({"stack": {**GOOD["stack"], "num_labels": 4}}, "stack.num_labels"),
        ({"stack": {**GOOD["stack"], "problem_type": "regression"}}, "stack.problem_type"),
        ({"projection_size": 6}, "stack.modality_dims"),
        ({"dropout": 0.1}, "dropout"),
        ({"modality_dims": {}}, "modality_dims"),
        ({"output_range": [0.0, 3.0]}, "output_range"),
        ({"clamp_in_loss": True}, "clamp_in_loss"),
        ({"one_hot_words": 2}, "one_hot_words"),
        ({"one_hot_words": 4}, "stack.modality_dims"),
        ({**VECTORS, "modality_dims": {"text": 1}, "one_hot_words": 4}, "one_hot_words"),
    ],
)
def test_impossible_configurations(change, field):
    with pytest.raises(ConfigError) as error:
        EarlyFusionConfig(**{**GOOD, **change})
    assert error.value.field == field
