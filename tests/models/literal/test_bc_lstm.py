"""The bc-LSTM against its transcription: packed and unpacked, with and without the tanh matching attention."""

import pytest
import torch

from mm_emotion.models import BCLSTMConfig, BCLSTMForEmotionRecognition

from . import transcriptions as literal
from .cases import alone, assert_parity, inputs, leaves, ragged_batch, randomize

EXACT = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(12)


def build(**fields: object) -> BCLSTMForEmotionRecognition:
    sizes = {"modality_dims": {"text": 3}, "recurrent_size": 4, "hidden_size": 3, "num_labels": 4}
    return randomize(BCLSTMForEmotionRecognition(BCLSTMConfig(**sizes, **fields)))


@pytest.mark.parametrize("extra_padding", [0, 2])
@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("use_attention", [True, False])
def test_g9_packed_and_unpacked(use_attention, pack, extra_padding):
    """Unpacked, the backward pass reads the padding zeros first, and layer two the states of layer one on padding."""
    model = build(use_attention=use_attention, pack=pack)
    batch = ragged_batch([4, 1, 2], 2, 3, 4, extra_padding)

    def transcription(weights, dialogue):
        rows = batch["text"][dialogue], batch["utterance_mask"][dialogue]
        return literal.bc_lstm(weights, *rows, use_attention=use_attention, pack=pack)

    assert_parity(model, batch, transcription)


def test_g9_packing_is_the_default():
    assert BCLSTMConfig(modality_dims={"text": 3}).pack


@pytest.mark.parametrize("use_attention", [True, False])
@pytest.mark.parametrize("pack", [True, False])
def test_g9_only_unpacked_depends_on_padding(pack, use_attention):
    model, batch = build(pack=pack, use_attention=use_attention), ragged_batch([4, 2], 2, 3, 4)
    together = model(**inputs(batch)).logits
    single = model(**inputs(alone(batch, 1))).logits
    assert torch.allclose(together[1, :2], single[0], **EXACT) == pack
    longest = model(**inputs(alone(batch, 0))).logits
    torch.testing.assert_close(together[0], longest[0], **EXACT)
    assert together[1, 2:].count_nonzero() == 0


@pytest.mark.parametrize("pack", [True, False])
def test_g9_one_utterance_alone(pack):
    model, batch = build(pack=pack, use_attention=True), ragged_batch([1], 1, 3, 4)

    def transcription(weights, dialogue):
        rows = batch["text"][dialogue], batch["utterance_mask"][dialogue]
        return literal.bc_lstm(weights, *rows, use_attention=True, pack=pack)

    assert_parity(model, batch, transcription)


@pytest.mark.parametrize("pack", [True, False])
def test_g3_attention_weights_of_the_tanh_variant(pack):
    """Weights of padding are exactly 0, rows sum to 1, and tanh keeps any two weights within a factor of e^2."""
    model, batch = build(use_attention=True, pack=pack), ragged_batch([4, 1, 3], 2, 3, 4, extra_padding=1)
    (attention,) = model(**inputs(batch), output_attentions=True).attentions  # (B, U, U)
    weights = literal.under(leaves(model), "matching_attention")
    for dialogue, length in enumerate((4, 1, 3)):
        steps = length if pack else 5
        states = literal.bidirectional_lstm(literal.under(leaves(model), "lstm"), batch["text"][dialogue, :steps], 2)
        mask = batch["utterance_mask"][dialogue, :steps]
        _, expected = literal.matching_attention(weights, states, mask, score_tanh=True)
        expected = torch.stack([torch.stack(row) for row in expected])[:length, :length]
        torch.testing.assert_close(attention[dialogue, :length, :length], expected, **EXACT)
        assert attention[dialogue, :, length:].count_nonzero() == 0
        ones = torch.ones(length, dtype=torch.float64)
        torch.testing.assert_close(attention[dialogue, :length].sum(-1), ones, **EXACT)
        assert expected.max() / expected.min() <= torch.e**2
