"""The masked losses of the models against the two published formulas."""

import pytest
import torch
import torch.nn.functional as F

from . import losses
from .cases import inputs, ragged_batch
from .systems import REGRESSION, build

CLASS_WEIGHTS = [0.3, 2.5, 1.0, 0.7]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(14)


@pytest.mark.parametrize("class_weights", [None, CLASS_WEIGHTS])
def test_g5_weighted_cross_entropy(class_weights):
    """The normaliser is the summed weight of the valid targets; context-only utterances are not among them."""
    model, batch = build(class_weights=class_weights), ragged_batch([3, 1, 2], 2, 3, 4, extra_padding=1)
    batch["labels"][0, 1] = -100
    output = model(**batch)
    valid = batch["labels"] != -100
    weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float64)
    expected = losses.negative_log_likelihood(list(output.logits), batch["labels"].tolist(), valid.tolist(), weights)
    torch.testing.assert_close(output.loss, expected, rtol=1e-10, atol=1e-12)
    each = F.cross_entropy(output.logits[valid], batch["labels"][valid], reduction="none")
    sample_weight = torch.ones_like(each) if weights is None else weights[batch["labels"][valid]]
    torch.testing.assert_close(output.loss, (each * sample_weight).sum() / sample_weight.sum(), rtol=1e-10, atol=1e-12)


def test_g5_gradient_of_the_weighted_cross_entropy():
    model, batch = build(class_weights=CLASS_WEIGHTS), ragged_batch([3, 1], 2, 3, 4)
    output = model(**batch)
    logits, weights = output.logits, torch.tensor(CLASS_WEIGHTS, dtype=torch.float64)
    mask = batch["utterance_mask"]
    expected = losses.negative_log_likelihood(list(logits), batch["labels"].tolist(), mask.tolist(), weights)
    (ours,) = torch.autograd.grad(output.loss, logits, retain_graph=True)
    (theirs,) = torch.autograd.grad(expected, logits)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("fields", [{}, {"class_weights": CLASS_WEIGHTS}, REGRESSION])
def test_g5_labels_on_padding_change_nothing(fields):
    model, batch = build(**fields), ragged_batch([3, 1], 2, 3, 4)
    mask = batch["utterance_mask"]
    if fields is REGRESSION:
        batch["labels"] = torch.randn(2, 3, 1).masked_fill(~mask.unsqueeze(2), torch.nan)
    loss = model(**batch).loss
    for value in (0, 3):
        batch["labels"][~mask] = value
        assert torch.equal(model(**batch).loss, loss)


def test_g5_masked_mean_squared_error():
    """Zeros on padding in the published form, missing values here: the sums are the same."""
    model, batch = build(**REGRESSION), ragged_batch([3, 1, 2], 2, 3, 4, extra_padding=1)
    mask = batch["utterance_mask"]
    targets = torch.randn(3, 4, 1, dtype=torch.float64).masked_fill(~mask.unsqueeze(2), torch.nan)
    predictions = model(**inputs(batch)).logits
    loss = model(**{**batch, "labels": targets}).loss
    expected = losses.mean_squared_error(list(predictions[..., 0]), list(targets[..., 0]), mask.tolist())
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=1e-12)


def test_g5_a_missing_value_inside_a_dialogue_leaves_the_normaliser():
    model, batch = build(**REGRESSION), ragged_batch([3, 2], 2, 3, 4)
    targets = torch.randn(2, 3, 1, dtype=torch.float64)
    targets[0, 1] = torch.nan
    valid = batch["utterance_mask"] & ~targets[..., 0].isnan()
    output = model(**{**batch, "labels": targets})
    expected = losses.mean_squared_error(list(output.logits[..., 0]), list(targets[..., 0]), valid.tolist())
    torch.testing.assert_close(output.loss, expected, rtol=1e-10, atol=1e-12)
    (gradient,) = torch.autograd.grad(output.loss, output.logits)
    assert gradient[~valid].count_nonzero() == 0 and gradient.isfinite().all()
