import pytest
import torch
from torch.nn import functional as F

from mm_emotion.errors import ConfigError
from mm_emotion.models import TFNConfig, TFNForEmotionRecognition

WIDTHS = {"text": 6, "audio": 3, "visual": 2}
GOOD = {"modality_dims": WIDTHS, "subnet_sizes": {"text": 5, "audio": 3, "visual": 4}, "text_output_size": 3}


def build(**options) -> TFNForEmotionRecognition:
    torch.manual_seed(0)
    return TFNForEmotionRecognition(TFNConfig(**{**GOOD, "hidden_size": 4, "num_labels": 3, **options}))


def a_batch(count: int = 6) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {
        "text": torch.randn(count, 2, 4, 6),
        "audio": torch.randn(count, 2, 3) * 3 + 5,
        "visual": torch.randn(count, 2, 2),
        "utterance_mask": torch.tensor([[True, True]] * (count - 1) + [[True, False]]),
    }


def test_published_sizes():
    """300-d words, 74 acoustic and 35 visual values; widths 128, 32 and 128, counted by hand."""
    with torch.device("meta"):
        config = TFNConfig(
            modality_dims={"text": 300, "audio": 74, "visual": 35}, num_labels=1, problem_type="regression"
        )
        model = TFNForEmotionRecognition(config)
    lstm = 4 * 128 * (300 + 128) + 8 * 128
    dense = sum(2 * d + d * h + h + 2 * (h * h + h) for d, h in ((74, 32), (35, 128)))
    subnets = lstm + (128 * 32 + 32) + dense
    fusion = 33 * 33 * 129 * 64 + 64 + (64 * 64 + 64) + (64 + 1)
    assert model.num_parameters() == subnets + fusion
    assert model.fusion.weight.shape == (33, 33, 129, 64)


def test_batch_statistics_are_those_of_real_and_present_utterances():
    model, batch = build().train(), a_batch()
    present = batch["utterance_mask"][..., None].repeat(1, 1, 4)
    present[0, 0, 1] = False
    model(**batch, modality_mask=present)
    rows = batch["audio"][present[..., 1]]  # (N, D)
    norm = model.subnets["audio"].norm
    torch.testing.assert_close(norm.running_mean, 0.1 * rows.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * rows.var(0))


def test_moving_averages_are_saved(tmp_path):
    model = build().train()
    model(**a_batch())
    model.eval().save_pretrained(tmp_path)
    loaded = TFNForEmotionRecognition.from_pretrained(tmp_path)
    assert torch.equal(loaded.subnets["audio"].norm.running_mean, model.subnets["audio"].norm.running_mean)
    assert torch.equal(loaded(**a_batch()).logits, model(**a_batch()).logits)


def test_dropout_on_the_outer_product_keeps_its_mean(monkeypatch):
    """With every value kept, the path that forms the product is the one that does not."""
    model, batch = build(dropout=0.5).train(), a_batch()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.momentum = 0.0
    rate = []
    with monkeypatch.context() as patch:
        patch.setattr(F, "dropout", lambda x, p=0.5, training=True: rate.append((p, x.shape[-1])) or x)
        formed = model(**batch).logits
    assert (0.5, 4 * 4 * 5) in rate
    model.fusion.dropout = 0.0
    torch.testing.assert_close(model(**batch).logits, formed)


def test_a_bounded_regression_stays_in_its_range():
    model = build(problem_type="regression", output_range=[-3.0, 3.0]).eval()
    batch = a_batch()
    raw = model.classifier(model(**batch).hidden_states)
    expected = (6 * raw.sigmoid() - 3).masked_fill(~batch["utterance_mask"][..., None], 0)
    torch.testing.assert_close(model(**batch).logits, expected)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"modality_dims": {"text": 6}, "subnet_sizes": None}, "modality_dims"),
        ({"modality_dims": {**WIDTHS, "mocap": 2}}, "modality_dims"),
        ({"subnet_sizes": {"mocap": 3}}, "subnet_sizes"),
        ({"subnet_sizes": {"text": 0}}, "subnet_sizes['text']"),
        ({"modality_dims": {"text": 6, "mocap": 2}, "subnet_sizes": None}, "subnet_sizes['mocap']"),
        ({"text_input": "words"}, "text_input"),
        ({"text_output_size": 0}, "text_output_size"),
        ({"output_range": [-3.0, 3.0]}, "output_range"),
        ({"problem_type": "regression", "output_range": [3.0, -3.0]}, "output_range"),
        ({"problem_type": "regression", "output_range": [-float("inf"), 3.0]}, "output_range"),
        ({"subnet_dropout": 1.0}, "subnet_dropout"),
    ],
)
def test_impossible_configurations(change, field):
    with pytest.raises(ConfigError) as error:
        TFNConfig(**{**GOOD, **change})
    assert error.value.field == field
