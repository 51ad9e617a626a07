"""DialogueRNN against its transcription: attention and order of the recurrence, reversal, masks, dropout."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mm_emotion.errors import BatchError
from mm_emotion.models import DialogueRNNConfig, DialogueRNNForEmotionRecognition
from mm_emotion.ops._library import use_reference_ops
from mm_emotion.ops.masking import reading_order

from . import transcriptions as literal
from .cases import alone, assert_parity, inputs, leaves, ragged_batch
from .systems import REGRESSION, SIZES, SYSTEMS, build, keep_masks, recurrence, scaled_drop, transcribe

EXACT = {"rtol": 1e-9, "atol": 1e-10}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(11)


@pytest.mark.parametrize("listener", [False, True])
@pytest.mark.parametrize("kind", ["simple", "dot", "general", "general2", "concat"])
def test_g1_recurrence_and_context_attention(kind, listener):
    """g_t outside its own attention, c_1 = 0, only the speaker's GRU_P state kept, order of every concatenation."""
    model = build(3, context_attention=kind, listener_state=listener, global_size=3 if kind == "dot" else 4)
    batch = ragged_batch([4, 1, 3], 3, 3, 4)
    assert_parity(model, batch, lambda weights, dialogue: transcribe(model.config, weights, batch, dialogue))


@pytest.mark.parametrize("name", ["dialogue_rnn_l", "bi_dialogue_rnn_att", "regression"])
def test_g1_definition_and_fast_path_both_match(name):
    model, batch = build(**SYSTEMS[name]), ragged_batch([3, 2], 2, 3, 4)
    with use_reference_ops():
        assert_parity(model, batch, lambda weights, dialogue: transcribe(model.config, weights, batch, dialogue))


def test_g1_no_state_attends_to_itself():
    batch = ragged_batch([4, 1], 2, 3, 4)
    (attention,) = build()(**inputs(batch), output_attentions=True).attentions  # (1, B, U, U)
    assert attention.triu().count_nonzero() == 0
    torch.testing.assert_close(attention[0, 0, 1:].sum(-1), torch.ones(3, dtype=torch.float64))
    assert attention[0, 1].count_nonzero() == 0


@pytest.mark.parametrize("parties", [1, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("listener", [False, True])
def test_g1_dropped_out_states_recur(monkeypatch, listener, bidirectional, parties):
    """The masks of training given to both sides: what dropout leaves of g, q and e is what the next step reads."""
    model = build(parties, listener_state=listener, bidirectional=bidirectional, recurrent_dropout=0.4).train()
    model.config.emotion_dropout = model.config.dropout = 0.0
    batch = ragged_batch([4, 2], parties, 3, 4)
    keep = keep_masks(model.config, 2, 4, parties)
    monkeypatch.setattr(model, "_keep_mask", lambda *given: keep)

    def transcription(weights, dialogue):
        part = alone(batch, dialogue)
        length = part["text"].shape[1]
        drop = scaled_drop(model.config, keep[:, dialogue], length, parties)
        rows = (part[name][0] for name in ("text", "speaker_mask", "utterance_mask"))
        return literal.dialogue_rnn(weights, *rows, drop=drop, **recurrence(model.config))

    assert_parity(model, batch, transcription)


def test_g1_a_fresh_recurrent_mask_for_each_step_and_direction():
    """A dialogue of equal utterances: one mask kept over the steps, or shared, would leave equal zeros."""
    fields = {"bidirectional": True, "emotion_size": 64, "hidden_size": 64, "recurrent_dropout": 0.5}
    model = build(1, **fields, emotion_dropout=0.0, dropout=0.0, activation="tanh").train()
    captured = []
    model.dense.register_forward_pre_hook(lambda module, given: captured.append(given[0]))
    batch = ragged_batch([3], 1, 3, 4)
    model(**inputs(batch))
    zeros = (captured[0][0] == 0).unflatten(1, (2, 64)).flatten(0, 1)  # (U*R, E)
    assert 0.3 < zeros.double().mean() < 0.7
    assert len({tuple(row.tolist()) for row in zeros}) == 6


@pytest.mark.parametrize("name", SYSTEMS)
def test_g2_a_batch_equals_each_dialogue_alone(name):
    model, batch = build(3, **SYSTEMS[name]), ragged_batch([4, 1, 3], 3, 3, 4, extra_padding=2)
    together = model(**inputs(batch))
    for dialogue, length in enumerate((4, 1, 3)):
        single = model(**inputs(alone(batch, dialogue)))
        torch.testing.assert_close(together.logits[dialogue, :length], single.logits[0], **EXACT)
        torch.testing.assert_close(together.hidden_states[dialogue, :length], single.hidden_states[0], **EXACT)
        assert together.logits[dialogue, length:].count_nonzero() == 0


def test_g2_reversal_takes_the_valid_prefix_and_pads_to_the_full_width():
    batch = ragged_batch([4, 1, 3], 2, 3, 4, extra_padding=2)
    lengths = batch["utterance_mask"].sum(1)
    order = reading_order(lengths, 6, backward=True).unsqueeze(2)
    backwards = batch["text"].take_along_dim(order, 1)
    for dialogue in range(3):
        expected = literal.reverse_valid(batch["text"][dialogue], batch["utterance_mask"][dialogue])
        torch.testing.assert_close(backwards[dialogue], expected)
        twice = literal.reverse_valid(expected, batch["utterance_mask"][dialogue])
        torch.testing.assert_close(twice, batch["text"][dialogue])
    torch.testing.assert_close(backwards.take_along_dim(order, 1), batch["text"])


@pytest.mark.parametrize("name", ["bi_dialogue_rnn", "bi_dialogue_rnn_att"])
def test_g2_padding_beyond_the_longest_dialogue(name):
    """Where the released reversal breaks, the transcription pads to the full width and so does the model."""
    model, batch = build(**SYSTEMS[name]), ragged_batch([3, 1], 2, 3, 4, extra_padding=3)
    assert_parity(model, batch, lambda weights, dialogue: transcribe(model.config, weights, batch, dialogue))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_g3_matching_attention_is_a_masked_softmax(bidirectional):
    model = build(bidirectional=bidirectional, use_attention=True)
    batch = ragged_batch([4, 1, 3], 2, 3, 4, extra_padding=1)
    attention = model(**inputs(batch), output_attentions=True).attentions[-1]  # (B, U, U)
    weights = literal.under(leaves(model), "matching_attention")
    for dialogue, length in enumerate((4, 1, 3)):
        rows = (batch[name][dialogue] for name in ("text", "speaker_mask", "utterance_mask"))
        states = literal.dialogue_rnn_states(leaves(model), *rows, bidirectional=bidirectional)
        mask = batch["utterance_mask"][dialogue]
        _, expected = literal.matching_attention(weights, states, mask, score_tanh=False)
        expected = torch.stack([torch.stack(row) for row in expected])
        torch.testing.assert_close(attention[dialogue, :length], expected[:length], **EXACT)
        assert attention[dialogue, :, length:].count_nonzero() == 0
        ones = torch.ones(length, dtype=torch.float64)
        torch.testing.assert_close(attention[dialogue, :length].sum(-1), ones, **EXACT)


@pytest.mark.parametrize("name", ["dialogue_rnn", "dialogue_rnn_att"])
def test_g3_only_the_attention_sees_the_future(name):
    model, batch = build(**SYSTEMS[name]), ragged_batch([4], 2, 3, 4)
    before = model(**inputs(batch)).logits
    batch["text"][0, 3] += 1.0
    same = torch.equal(model(**inputs(batch)).logits[0, :3], before[0, :3])
    assert same == (name == "dialogue_rnn")
    assert model.config.is_causal == same


@pytest.mark.parametrize("parties", [1, 2, 3])
@pytest.mark.parametrize("name", ["dialogue_rnn", "dialogue_rnn_l"])
def test_g4_speakerless_padding_is_harmless(name, parties):
    """The transcription runs on through rows of zeros as the released code does; no valid step differs."""
    model, batch = build(parties, **SYSTEMS[name]), ragged_batch([3, 1], parties, 3, 4, extra_padding=2)
    assert_parity(model, batch, lambda weights, dialogue: transcribe(model.config, weights, batch, dialogue))


@pytest.mark.parametrize("name", ["dialogue_rnn_l", "bi_dialogue_rnn_att"])
def test_g4_what_stands_on_padding_is_not_read(name):
    model, batch = build(**SYSTEMS[name]), ragged_batch([3, 1], 2, 3, 4)
    before = model(**inputs(batch)).logits
    batch["text"][1, 1:] = 7.0
    assert torch.equal(model(**inputs(batch)).logits, before)
    batch["speaker_mask"][1, 1:, 1] = True
    with pytest.raises(BatchError, match="speaker_mask"):
        model(**inputs(batch))


@pytest.mark.parametrize("parties", [1, 2, 3])
@pytest.mark.parametrize("name", SYSTEMS)
def test_g6_all_systems_run_and_match(name, parties):
    model, batch = build(parties, **SYSTEMS[name]), ragged_batch([3, 1, 2], parties, 3, 4)
    assert_parity(model, batch, lambda weights, dialogue: transcribe(model.config, weights, batch, dialogue))


@pytest.mark.parametrize("name", SYSTEMS)
def test_g6_one_dialogue_of_one_utterance_keeps_its_axes(name):
    model, batch = build(**SYSTEMS[name]), ragged_batch([1], 2, 3, 4)
    assert model(**inputs(batch)).logits.shape == (1, 1, model.config.num_labels)
    assert_parity(model, batch, lambda weights, dialogue: transcribe(model.config, weights, batch, dialogue))


@pytest.mark.parametrize("name", ["dialogue_rnn_l", "bi_dialogue_rnn_att"])
def test_g6_single_precision_without_gradient_on_fused_features(name):
    """Text, audio and visual features side by side, in this order whatever the order of the map."""
    widths = {"visual": 1, "text": 3, "audio": 2}
    model = build(**SYSTEMS[name], modality_dims=widths)
    batch = ragged_batch([3, 1], 2, 6, 4)
    weights = leaves(model)
    expected = [transcribe(model.config, weights, batch, dialogue) for dialogue in range(2)]
    parts = dict(zip(("text", "audio", "visual"), batch["text"].float().split([3, 2, 1], -1), strict=True))
    with torch.no_grad():
        logits = model.float()(**{**inputs(batch), **parts}).logits
    for dialogue, length in enumerate((3, 1)):
        torch.testing.assert_close(
            logits[dialogue, :length].double(), expected[dialogue][:length], rtol=1e-4, atol=1e-5
        )


def test_g7_no_generator_but_torch_is_read():
    """The released scripts seed numpy alone, which draws nothing here: torch's seed decides the weights and masks."""

    def train_once(other_seed):
        np.random.seed(other_seed)
        random.seed(other_seed)
        before = np.random.get_state()[1].tolist(), random.getstate()
        torch.manual_seed(1234)
        model = DialogueRNNForEmotionRecognition(DialogueRNNConfig(**SIZES, num_labels=4)).train()
        batch = {name: value.float() if name == "text" else value for name, value in ragged_batch([3], 2, 3, 4).items()}
        logits = model(**inputs(batch)).logits
        assert (np.random.get_state()[1].tolist(), random.getstate()) == before
        return logits

    assert torch.equal(train_once(1), train_once(2))


def test_g7_evaluation_draws_nothing():
    model, batch = build(**SYSTEMS["bi_dialogue_rnn_att"]), ragged_batch([3, 1], 2, 3, 4)
    before = torch.get_rng_state()
    model(**inputs(batch))
    assert torch.equal(torch.get_rng_state(), before)


def test_g8_published_rates():
    """p inside the recurrence, p + 0.15 on its output, p in the head, with p = 0.1; none in the regression."""
    config = DialogueRNNConfig(**SIZES, num_labels=6)
    assert (config.recurrent_dropout, config.emotion_dropout, config.dropout) == (0.1, 0.25, 0.1)


@pytest.mark.parametrize("name", SYSTEMS)
def test_g8_places_of_dropout(monkeypatch, name):
    """Training with fixed masks: on the emotion states before matching attention, and between dense and classifier."""
    model = build(**SYSTEMS[name], recurrent_dropout=0.0, emotion_dropout=0.25, dropout=0.1).train()
    config, batch, rates = model.config, ragged_batch([3, 1], 2, 3, 4), []

    def mask(size, rate):
        return (torch.arange(size) % 3 != 1).double() / (1 - rate)

    def dropout(values, p=0.5, training=True, inplace=False):
        if not training or p == 0:
            return values
        rates.append(p)
        return values * mask(values.shape[-1], p)

    monkeypatch.setattr(F, "dropout", dropout)

    def transcription(weights, dialogue):
        rows = (batch[key][dialogue] for key in ("text", "speaker_mask", "utterance_mask"))
        states = literal.dialogue_rnn_states(weights, *rows, **recurrence(config))
        states = [state * mask(len(state), 0.25) for state in states]
        if config.use_attention:
            matching = literal.under(weights, "matching_attention")
            states, _ = literal.matching_attention(matching, states, batch["utterance_mask"][dialogue], False)
        hidden = mask(config.representation_size, 0.1)  # of the hidden values, as a factor of what reads them
        dropped = {**weights, "classifier.weight": weights["classifier.weight"] * hidden}
        return literal.head(dropped, states, config.activation)

    assert_parity(model, batch, transcription)
    assert rates == [0.25, 0.1]


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_g8_recurrent_rate_is_the_one_inside_the_cells(rate):
    """Tanh states are never 0 by themselves, so that the zeros among the emotion states are those dropped."""
    fields = {"emotion_size": 128, "emotion_dropout": 0.0, "dropout": 0.0}
    model = build(**fields, recurrent_dropout=rate).train()
    captured = []
    model.dense.register_forward_pre_hook(lambda module, given: captured.append(given[0]))
    model(**inputs(ragged_batch([6, 6], 2, 3, 4)))
    dropped = (captured[0] == 0).double().mean()
    assert abs(dropped - rate) < 0.06


def test_regression_variant_has_the_published_number_of_parameters():
    sizes = {"global_size": 100, "party_size": 100, "emotion_size": 100, "hidden_size": 100}
    with torch.device("meta"):
        model = DialogueRNNForEmotionRecognition(DialogueRNNConfig(modality_dims={"text": 100}, **sizes, **REGRESSION))
    assert sum(parameter.numel() for parameter in model.parameters()) == 252_101
