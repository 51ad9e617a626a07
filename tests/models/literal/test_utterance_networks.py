"""The utterance networks against their transcriptions: logits and every gradient in float64, with and without masks."""

import pytest
import torch

from mm_emotion.models import (
    AudioDenseConfig,
    AudioDenseForEmotionRecognition,
    SequenceStackConfig,
    SequenceStackForEmotionRecognition,
    TextTEConfig,
    TextTEForEmotionRecognition,
    VideoCNN3DConfig,
    VideoCNN3DForEmotionRecognition,
)

from . import utterance_networks as literal
from .cases import assert_parity, randomize
from .transcriptions import linear, under

LENGTHS = torch.tensor([[6, 3], [1, 0]])
"""Real steps of two dialogues of two utterances, the last of which is padding."""


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(17)


def words(steps: int, ragged: bool) -> dict[str, torch.Tensor]:
    batch = {"input_ids": torch.randint(12, (2, 2, steps)), "utterance_mask": LENGTHS > 0}
    if ragged:
        batch["text_mask"] = torch.arange(steps) < LENGTHS[..., None]
    return batch


def steps(width: int, count: int = 6, ragged: bool = False) -> dict[str, torch.Tensor]:
    """Sequences (B, U, T, D) under the key `text`, whose gradients are compared too."""
    mask = LENGTHS > 0
    batch = {"text": torch.randn(2, 2, count, width).double() * mask[..., None, None], "utterance_mask": mask}
    if ragged:
        batch["text_mask"] = torch.arange(count) < LENGTHS[..., None]
        batch["text"] = batch["text"] * batch["text_mask"][..., None]
    return batch


def each(batch, key, run):
    """A transcription of one utterance as `assert_parity` takes it: real utterances of one dialogue, cut to length."""

    def transcription(weights, dialogue):
        rows = []
        for utterance, here in enumerate(batch["utterance_mask"][dialogue].tolist()):
            if here:
                values = batch[key][dialogue, utterance]
                rows.append(run(weights, values[: LENGTHS[dialogue, utterance]] if "text_mask" in batch else values))
        return torch.stack(rows)

    return transcription


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize(("heads", "key_size"), [(1, 4), (2, 3)])
def test_a2_text_transformer(ragged, heads, key_size):
    """Unmasked, all six positions are attended to and averaged; masked, each utterance is read at its own length."""
    sizes = {"vocab_size": 12, "embedding_size": 4, "max_length": 6, "feedforward_size": 5, "hidden_size": 3}
    config = TextTEConfig(**sizes, num_heads=heads, key_size=key_size, mask_padding=ragged, num_labels=3)
    model, batch = randomize(TextTEForEmotionRecognition(config)), words(6, ragged)
    run = each(batch, "input_ids", lambda weights, ids: literal.text_te(weights, ids, heads=heads))
    assert_parity(model, batch, run)


@pytest.mark.parametrize("position", ["before_activation", "after_activation"])
@pytest.mark.parametrize("norm", ["layer", "batch", "none"])
def test_a3_audio_network(norm, position):
    config = AudioDenseConfig(modality_dims={"text": 5}, hidden_size=4, norm=norm, norm_position=position, num_labels=3)
    model = randomize(AudioDenseForEmotionRecognition(config))
    if norm == "batch":
        model.norm.running_mean.normal_()
        model.norm.running_var.uniform_(0.5, 2)
    mask = LENGTHS > 0
    batch = {"text": torch.randn(2, 2, 5).double() * mask[..., None], "utterance_mask": mask}
    run = each(batch, "text", lambda weights, x: literal.audio_dense(weights, x, norm=norm, position=position))
    assert_parity(model, batch, run)


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("size", [(4, 6, 5), (5, 7, 8)])
def test_a4_video_network(size, checkpointing):
    """Rows and columns that fill no cube are dropped."""
    shape = dict(zip(("frames", "height", "width"), size, strict=True))
    sizes = {"channels": 2, "num_filters": 3, "kernel_size": 2, "pool_size": 3, "hidden_size": 4, "num_labels": 3}
    model = randomize(VideoCNN3DForEmotionRecognition(VideoCNN3DConfig(**shape, **sizes)))
    if checkpointing:
        model.activation_checkpointing_enable()
        model.train()
    mask = LENGTHS > 0
    batch = {"visual": torch.rand(2, 2, 2, *size).double() * mask[..., None, None, None, None], "utterance_mask": mask}
    assert_parity(model, batch, each(batch, "visual", lambda weights, clip: literal.video_cnn3d(weights, clip, pool=3)))


def stack(stages, **fields):
    fields = fields if stages[0]["kind"] == "embedding" else {"modality_dims": {"text": 3}, **fields}
    return randomize(SequenceStackForEmotionRecognition(SequenceStackConfig(stages=stages, num_labels=3, **fields)))


def classify(weights, vector):
    return linear(under(weights, "classifier"), vector)


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_c1_lstm_and_attention_decoder(bidirectional, ragged):
    """Model3 and Model4 without their flatten: LSTM, attention decoder, mean over the steps that count, dense."""
    stages = [
        {"kind": "lstm", "units": 4, "output": "steps", "bidirectional": bidirectional},
        {"kind": "attention_decoder", "units": 3, "output_size": 5, "bidirectional": bidirectional},
        {"kind": "pool", "reduce": "mean"},
        {"kind": "dense", "units": 4, "activation": "relu"},
    ]

    def run(weights, x):
        states = list(x)
        for stage, layer in enumerate((literal.keras_lstm, literal.attention_decoder)):
            own = under(weights, f"stages.{stage}.layer")
            states = literal.both_ways(layer, own, states) if bidirectional else layer(own, states)
        hidden = literal.relu(linear(under(weights, "stages.3"), sum(states) / len(states)))
        return classify(weights, hidden)

    batch = steps(3, ragged=ragged)
    assert_parity(stack(stages), batch, each(batch, "text", run))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_c1_last_output_of_each_way(bidirectional):
    """Model2: the state behind the last real step, and behind the first of the way back."""
    stages = [{"kind": "lstm", "units": 3, "bidirectional": bidirectional}]

    def run(weights, x):
        own = under(weights, "stages.0.layer")
        if not bidirectional:
            return classify(weights, literal.keras_lstm(own, list(x))[-1])
        ahead = literal.keras_lstm(under(own, "ahead"), list(x))[-1]
        back = literal.keras_lstm(under(own, "back"), list(x)[::-1])[-1]
        return classify(weights, torch.cat([ahead, back]))

    batch = steps(3, ragged=True)
    assert_parity(stack(stages), batch, each(batch, "text", run))


@pytest.mark.parametrize(("stride", "padding"), [(1, "same"), (1, "valid"), (2, "valid"), (2, "same")])
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_c2_convolution_over_words_is_flattened_time_first(kernel_size, stride, padding):
    """Text Model1: embedding, convolution, flatten, dense; index 0 is a word like any other."""
    stages = [
        {"kind": "embedding", "vocab_size": 12, "size": 3},
        {"kind": "conv1d", "filters": 2, "kernel_size": kernel_size, "stride": stride, "padding": padding},
        {"kind": "flatten"},
        {"kind": "dense", "units": 4, "activation": "tanh"},
    ]

    def run(weights, ids):
        x = [weights["stages.0.weight"][token] for token in ids]
        x = literal.convolve_steps(under(weights, "stages.1.convolutions.0"), x, stride, padding)
        return classify(weights, torch.tanh(linear(under(weights, "stages.3"), torch.cat(x))))

    batch = words(7, ragged=False)
    assert_parity(stack(stages, max_length=7), batch, each(batch, "input_ids", run))


def test_d2_several_widths_and_windows_at_each_length():
    """Convolutions of widths 2 and 3 side by side, maxima of whole windows of two steps, maximum over all of them."""
    stages = [
        {"kind": "conv1d", "filters": 2, "kernel_size": [2, 3], "padding": "same", "activation": "relu"},
        {"kind": "pool", "reduce": "max", "size": 2},
        {"kind": "pool", "reduce": "max"},
    ]

    def run(weights, x):
        parts = [under(weights, f"stages.0.convolutions.{branch}") for branch in range(2)]
        maps = [literal.convolve_steps(part, list(x), 1, "same") for part in parts]
        joined = [literal.relu(torch.cat(pair)) for pair in zip(*maps, strict=True)]
        whole = max(len(joined) // 2, 1)  # a short utterance fills one window
        windows = [torch.stack(joined[2 * w : 2 * w + 2]).amax(0) for w in range(whole)]
        return classify(weights, torch.stack(windows).amax(0))

    batch = steps(3, ragged=True)
    assert_parity(stack(stages), batch, each(batch, "text", run))


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("size", [(6, 3), (7, 4)])
def test_c3_pictures_of_markers(size, padding):
    """Face Model2 in small: convolutions of stride 2, the odd zero of "same" behind, flattened channels last."""
    stages = [
        {"kind": "expand", "axis": "channels"},
        {"kind": "conv2d", "filters": 2, "kernel_size": 3, "stride": 2, "padding": "same", "activation": "relu"},
        {"kind": "conv2d", "filters": 3, "kernel_size": 2, "padding": padding},
        {"kind": "flatten"},
    ]

    def run(weights, x):
        picture = [[value.reshape(1) for value in row] for row in x]
        picture = literal.convolve_picture(under(weights, "stages.1.convolution"), picture, 2, "same")
        picture = [[literal.relu(cell) for cell in row] for row in picture]
        picture = literal.convolve_picture(under(weights, "stages.2.convolution"), picture, 1, padding)
        return classify(weights, torch.cat([cell for row in picture for cell in row]))

    batch = steps(size[1], size[0])
    model = stack(stages, modality_dims={"text": size[1]}, max_length=size[0])
    assert_parity(model, batch, each(batch, "text", run))


def test_d2_speech_network_and_layer_norm():
    """The speech CNN in small: a vector as steps of one value, convolution, windows; then a norm and a dense layer."""
    stages = [
        {"kind": "expand", "axis": "channels"},
        {"kind": "conv1d", "filters": 2, "kernel_size": 3, "activation": "relu"},
        {"kind": "pool", "reduce": "max", "size": 2},
        {"kind": "flatten"},
        {"kind": "norm", "over": "layer"},
        {"kind": "dense", "units": 4, "activation": "relu"},
    ]

    def run(weights, vector):
        x = literal.convolve_steps(
            under(weights, "stages.1.convolutions.0"), [v.reshape(1) for v in vector], 1, "valid"
        )
        x = [literal.relu(step) for step in x]
        x = [torch.stack(x[end - 2 : end]).amax(0) for end in range(2, len(x) + 1, 2)]
        x = literal.layer_norm(under(weights, "stages.4"), torch.cat(x), 1e-3)
        return classify(weights, literal.relu(linear(under(weights, "stages.5"), x)))

    mask = LENGTHS > 0
    batch = {"text": torch.randn(2, 2, 9).double() * mask[..., None], "utterance_mask": mask}
    model = stack(stages, modality_dims={"text": 9}, input_kind="vector")
    assert_parity(model, batch, each(batch, "text", run))


@pytest.mark.parametrize(("axis", "count", "width"), [("steps", 1, 4), ("channels", 4, 1)])
def test_d2_a_vector_is_one_step_or_one_step_a_value(axis, count, width):
    stages = [{"kind": "expand", "axis": axis}, {"kind": "lstm", "units": 3}]

    def run(weights, vector):
        x = list(vector.reshape(count, width))
        return classify(weights, literal.keras_lstm(under(weights, "stages.1.layer"), x)[-1])

    mask = LENGTHS > 0
    batch = {"text": torch.randn(2, 2, 4).double() * mask[..., None], "utterance_mask": mask}
    model = stack(stages, modality_dims={"text": 4}, input_kind="vector")
    assert_parity(model, batch, each(batch, "text", run))
