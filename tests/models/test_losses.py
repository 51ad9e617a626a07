import numpy as np
import pytest
import torch

from mm_emotion.metrics import concordance_correlation
from mm_emotion.models.losses import loss_terms
from mm_emotion.schema import IGNORE_INDEX


def regression_case():
    generator = torch.Generator().manual_seed(0)
    logits, labels = (torch.randn(3, 4, 2, generator=generator, dtype=torch.float64) for _ in range(2))
    mask = torch.arange(4) < torch.tensor([4, 2, 3])[:, None]
    labels[0, 1, 0] = float("nan")
    return logits.requires_grad_(), labels.masked_fill(~mask[..., None], float("nan")), mask


def test_weighted_cross_entropy_divides_by_the_weight_of_the_targets():
    logits = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([[0, 2, 1], [IGNORE_INDEX, 1, 2]])
    mask = torch.tensor([[True, True, True], [True, True, False]])  # one label lies on padding, one is context only
    weights = [0.5, 2.0, 3.0]
    numerator, denominator = loss_terms(logits, labels, mask, "cross_entropy", weights)
    log_p = logits.log_softmax(-1)
    chosen = [(0, 0, 0), (0, 1, 2), (0, 2, 1), (1, 1, 1)]
    assert torch.isclose(numerator, -sum(weights[k] * log_p[b, u, k] for b, u, k in chosen))
    assert denominator.item() == 0.5 + 3.0 + 2.0 + 2.0


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_errors_are_taken_over_known_values_alone(loss):
    logits, labels, mask = regression_case()
    numerator, denominator = loss_terms(logits, labels, mask, loss)
    known = ~labels.isnan()
    error = (logits - labels)[known]
    assert torch.isclose(numerator, (error.square() if loss == "mse" else error.abs()).sum())
    assert denominator.item() == known.sum() == 17
    numerator.backward()
    assert logits.grad.isfinite().all()
    assert not logits.grad[~known].any()


def test_concordance_is_lin_s_formula():
    logits, labels, mask = regression_case()
    numerator, denominator = loss_terms(logits, labels, mask, "ccc")
    expected = 0.0
    for k in range(2):
        known = ~labels[..., k].isnan()
        x, y = logits.detach()[..., k][known].numpy(), labels[..., k][known].numpy()
        covariance = np.mean((x - x.mean()) * (y - y.mean()))
        expected += (1 - 2 * covariance / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)) * len(x)
    assert numerator.item() == pytest.approx(expected)
    assert denominator.item() == 17


def test_concordance_of_equal_series_is_no_loss():
    _, labels, mask = regression_case()
    numerator, _ = loss_terms(labels.nan_to_num(), labels, mask, "ccc")
    assert numerator.item() == pytest.approx(0, abs=1e-12)


def test_concordance_of_a_constant_is_finite():
    labels = torch.zeros(1, 3, 1)
    logits = torch.zeros(1, 3, 1, requires_grad=True)
    numerator, _ = loss_terms(logits, labels, torch.ones(1, 3, dtype=torch.bool), "ccc")
    numerator.backward()
    assert numerator.isfinite()
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("loss", ["cross_entropy", "mse", "mae", "ccc"])
def test_nothing_known_gives_zero_over_zero(loss):
    logits = torch.randn(1, 2, 3, requires_grad=True)
    labels = torch.full((1, 2), IGNORE_INDEX) if loss == "cross_entropy" else torch.full((1, 2, 3), float("nan"))
    numerator, denominator = loss_terms(logits, labels, torch.ones(1, 2, dtype=torch.bool), loss)
    numerator.backward()
    assert numerator.item() == denominator.item() == 0
    assert not logits.grad.any()


@pytest.mark.parametrize("loss", ["mse", "mae"])
def test_terms_of_two_halves_add_up(loss):
    logits, labels, mask = regression_case()
    halves = [loss_terms(logits[part], labels[part], mask[part], loss) for part in (slice(0, 1), slice(1, 3))]
    for whole, *parts in zip(loss_terms(logits, labels, mask, loss), *halves, strict=True):
        assert torch.isclose(whole, sum(parts))


def test_low_precision_logits_are_summed_in_single():
    logits = torch.randn(1, 4, 3, dtype=torch.bfloat16)
    numerator, _ = loss_terms(
        logits, torch.zeros(1, 4, dtype=torch.int64), torch.ones(1, 4, dtype=torch.bool), "cross_entropy"
    )
    assert numerator.dtype == torch.float32


def test_concordance_of_each_recording_is_that_of_the_metric():
    logits, labels, mask = regression_case()
    labels[2, :, 1], constant = 0.25, logits.detach().clone()
    constant[2, :, 1] = 0.5  # both sides constant: not defined, and left out
    constant.requires_grad_()
    numerator, denominator = loss_terms(constant, labels, mask, "ccc_per_recording")
    names = np.repeat(np.arange(3), 4).reshape(3, 4)
    known = [(constant[..., k].detach().numpy(), labels[..., k].numpy()) for k in range(2)]
    values = [concordance_correlation(*pair, mask=mask.numpy(), groups=names) for pair in known]
    assert denominator.item() == 5
    assert numerator.item() == pytest.approx(5 - 3 * values[0] - 2 * values[1])
    numerator.backward()
    assert constant.grad.isfinite().all() and not constant.grad[~mask].any()


def test_concordance_with_the_moments_of_the_challenge():
    logits, labels, mask = regression_case()
    numerator, _ = loss_terms(logits, labels, mask, "ccc_avec2018")
    expected = 0.0
    for k in range(2):
        x, y = logits[..., k].detach().numpy(), labels[..., k].numpy()
        count = (mask.numpy() & ~np.isnan(y)).sum()
        expected += count * (1 - concordance_correlation(x, y, mask=mask.numpy(), avec2018=True))
    assert numerator.item() == pytest.approx(expected)


@pytest.mark.parametrize("loss", ["ccc", "ccc_per_recording", "ccc_avec2018"])
def test_descent_on_concordance_reaches_the_labels(loss):
    _, labels, mask = regression_case()
    generator = torch.Generator().manual_seed(1)
    found = labels.nan_to_num() + 0.7 * torch.randn(3, 4, 2, generator=generator, dtype=torch.float64)
    before, count = loss_terms(found, labels, mask, loss)
    found.requires_grad_()
    optimizer = torch.optim.Adam([found], lr=0.05)
    for _ in range(600):
        numerator, denominator = loss_terms(found, labels, mask, loss)
        optimizer.zero_grad()
        (numerator / denominator).backward()
        optimizer.step()
    assert (numerator / denominator).item() < 0.6 * (before / count).item()
