import pytest
import torch

from mm_emotion.errors import BatchError, ConfigError
from mm_emotion.models import SequenceStackConfig, SequenceStackForEmotionRecognition
from mm_emotion.models.sequence_stack.stage_table import STAGES

WORDS = {"kind": "embedding", "vocab_size": 9, "size": 4}
LSTM = {"kind": "lstm", "units": 3}
STEPS = {"kind": "lstm", "units": 3, "output": "steps"}
FLAT = {"kind": "flatten"}
DENSE = {"kind": "dense", "units": 5}
PICTURE = {"kind": "expand", "axis": "channels"}
CONV = {"kind": "conv1d", "filters": 2, "kernel_size": 3}
SQUARE = {"kind": "conv2d", "filters": 2, "kernel_size": 3, "stride": 2, "padding": "same"}


def config(stages, **fields):
    fields = fields if stages and stages[0].get("kind") == "embedding" else {"modality_dims": {"audio": 6}, **fields}
    return SequenceStackConfig(stages=stages, num_labels=3, **fields)


def build(stages, **fields):
    torch.manual_seed(0)
    return SequenceStackForEmotionRecognition(config(stages, **fields)).eval()


@pytest.mark.parametrize(
    ("stages", "field", "hint"),
    [
        ([], "stages", ""),
        ([{"units": 3}], "stages[0].kind", ""),
        ([{"kind": 3}], "stages[0].kind", ""),
        ([{"kind": "lstn", "units": 3}], "stages[0].kind", "lstm"),
        ([LSTM, {"kind": "dense"}], "stages[1].units", ""),
        ([LSTM, {"kind": "dense", "unit": 3}], "stages[1].unit", "units"),
        ([{"kind": "lstm", "units": "3"}], "stages[0].units", ""),
        ([{"kind": "lstm", "units": True}], "stages[0].units", ""),
        ([{"kind": "lstm", "units": 0}], "stages[0].units", ""),
        ([{"kind": "lstm", "units": 3, "output": "lst"}], "stages[0].output", "last"),
        ([{"kind": "lstm", "units": 3, "bidirectional": 1}], "stages[0].bidirectional", ""),
        ([{"kind": "lstm", "units": 3, "recurrent_dropout": 1.0}], "stages[0].recurrent_dropout", ""),
        ([LSTM, {"kind": "dropout", "rate": -0.1}], "stages[1].rate", ""),
        ([LSTM, {"kind": "dropout", "rate": float("nan")}], "stages[1].rate", ""),
        ([LSTM, {"kind": "norm", "over": "batch", "epsilon": 0.0}], "stages[1].epsilon", ""),
        ([LSTM, {**DENSE, "activation": "rely"}], "stages[1].activation", "relu"),
        ([{**CONV, "kernel_size": []}, LSTM], "stages[0].kernel_size", ""),
        ([{**CONV, "kernel_size": [3, 0]}, LSTM], "stages[0].kernel_size", ""),
        ([{**CONV, "kernel_size": [3, "4"]}, LSTM], "stages[0].kernel_size", ""),
        ([{**CONV, "kernel_size": [3, 4]}, LSTM], "stages[0].padding", ""),
        ([{**CONV, "padding": "same", "stride": 2}, LSTM], "stages[0].stride", ""),
        ([{"kind": "pool", "reduce": "max", "size": 0}, LSTM], "stages[0].size", ""),
        ([{"kind": "columns", "first": 4, "count": 3}, LSTM], "stages[0].count", ""),
        ([{"kind": "columns", "first": -1, "count": 3}, LSTM], "stages[0].first", ""),
        ([LSTM, WORDS], "stages[1].kind", ""),
        ([LSTM, LSTM], "stages[1].kind", ""),
        ([LSTM, FLAT], "stages[1].kind", ""),
        ([LSTM, CONV], "stages[1].kind", ""),
        ([LSTM, SQUARE], "stages[1].kind", ""),
        ([STEPS, FLAT], "stages[1].kind", ""),
        ([PICTURE, SQUARE], "stages[1].kind", ""),
        ([PICTURE, DENSE], "stages[1].kind", ""),
        ([STEPS], "stages", ""),
        ([PICTURE], "stages", ""),
    ],
)
def test_what_is_wrong_is_refused_before_anything_is_built(stages, field, hint):
    with pytest.raises(ConfigError) as error:
        config(stages)
    assert error.value.field == field
    assert hint in error.value.hint


@pytest.mark.parametrize(
    ("stages", "fields", "field"),
    [
        ([CONV, FLAT], {"max_length": 2}, "stages[0].kernel_size"),
        (
            [PICTURE, {**SQUARE, "padding": "valid", "kernel_size": [3, 7]}, FLAT],
            {"max_length": 9},
            "stages[1].kernel_size",
        ),
        ([PICTURE, {**SQUARE, "kernel_size": [3, 3, 3]}, FLAT], {"max_length": 9}, "stages[1].kernel_size"),
        ([{"kind": "pool", "reduce": "mean", "size": 4}, FLAT], {"max_length": 3}, "stages[0].size"),
        ([LSTM], {"max_length": 0}, "max_length"),
        ([DENSE], {"input_kind": "vector", "max_length": 3}, "max_length"),
        ([LSTM], {"modality_dims": {"audio": 3, "text": 2}}, "modality_dims"),
        ([WORDS, LSTM], {"modality_dims": {"text": 2}}, "modality_dims"),
        ([WORDS, LSTM], {"input_kind": "vector"}, "input_kind"),
        ([LSTM], {"hidden_size": 4}, "hidden_size"),
        ([LSTM], {"dropout": 0.1}, "dropout"),
        ([LSTM], {"input_dropout": 0.1}, "input_dropout"),
        ([LSTM], {"modality_dims": {"audio": 0}}, "modality_dims['audio']"),
    ],
)
def test_what_does_not_fit_the_input_is_refused(stages, fields, field):
    with pytest.raises(ConfigError) as error:
        config(stages, **fields)
    assert error.value.field == field


def test_the_message_tells_what_stands_in_front():
    with pytest.raises(
        ConfigError, match=r"stages\[1\].kind: expected a stage for a vector \(3\), got one for a sequence"
    ):
        config([LSTM, LSTM])


def test_every_kind_of_stage_can_be_built():
    stages = [
        [WORDS, {**CONV, "padding": "same"}, {"kind": "attention_decoder", "units": 3, "output_size": 2}, FLAT, DENSE],
        [PICTURE, SQUARE, FLAT, {"kind": "dropout", "rate": 0.5}, {"kind": "norm", "over": "batch"}],
        [{"kind": "columns", "first": 1, "count": 4}, {"kind": "pool", "reduce": "mean", "size": 2}, LSTM],
    ]
    assert {stage["kind"] for group in stages for stage in group} == set(STAGES)
    for group in stages:
        model = build(group, max_length=8)
        (key, shape), *_ = model.input_shapes().items()
        values = torch.randint(0, 9, (2, 1, *shape)) if key == "input_ids" else torch.randn(2, 1, *shape)
        assert model(**{key: values}).hidden_states.shape == (2, 1, model.config.hidden_size)


def test_shapes_through_the_motion_capture_network():
    squares = [{**SQUARE, "filters": filters} for filters in (32, 64, 64, 128, 128)]
    shapes = config([PICTURE, *squares, FLAT], modality_dims={"mocap": 165}, max_length=200).shapes
    pictures = [(200, 165, 1), (100, 83, 32), (50, 42, 64), (25, 21, 64), (13, 11, 128), (7, 6, 128)]
    assert shapes == [(200, 165), *pictures, (5376,)]


LSTMS = [
    {"kind": "lstm", "units": 256, "output": "steps"},
    {"kind": "lstm", "units": 256},
    {"kind": "dense", "units": 256},
]
DENSES = [{"kind": "dense", "units": units} for units in (1024, 512, 256)]
DECODED = [
    {"kind": "lstm", "units": 128, "output": "steps", "recurrent_dropout": 0.2},
    {"kind": "attention_decoder", "units": 128, "output_size": 128},
]
CONVOLVED = [PICTURE, *({**SQUARE, "filters": filters} for filters in (32, 64, 64, 128, 128))]
SPEECH = {"modality_dims": {"audio": 34}, "max_length": 100}
MOCAP = {"modality_dims": {"mocap": 189}, "max_length": 200}


@pytest.mark.parametrize(
    ("stages", "fields", "count"),
    [
        ([{**WORDS, "vocab_size": 2736, "size": 128}, FLAT, *DENSES], {"max_length": 500}, 66_543_360),
        ([{**WORDS, "vocab_size": 2736, "size": 128}, *LSTMS], {"max_length": 500}, 1_335_552),
        ([{**WORDS, "vocab_size": 2737, "size": 300}, *LSTMS], {"max_length": 500}, 1_982_572),
        ([FLAT, *DENSES], SPEECH, 4_138_752),
        ([FLAT, DENSES[0], DENSES[2]], SPEECH, 3_745_024),
        ([*DECODED, FLAT, DENSES[2]], SPEECH, 3_607_040),
        ([*CONVOLVED, FLAT, DENSES[2]], MOCAP, 1_653_696),
        (LSTMS, MOCAP, 1_047_808),
    ],
)
def test_branches_of_the_combined_networks_have_the_published_sizes(stages, fields, count):
    with torch.device("meta"):
        model = SequenceStackForEmotionRecognition(config(stages, **fields))
    model.classifier = None
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize("seen", ["in front of every stage", "behind the utterance"])
def test_steps_that_do_not_count_are_silent(seen):
    model = build([DENSE, {**CONV, "padding": "same"}, {"kind": "pool", "reduce": "mean"}])
    audio, mask = torch.randn(1, 1, 5, 6), torch.arange(5)[None, None] < 3
    if seen == "behind the utterance":
        changed = audio.clone()
        changed[..., 3:, :] = 9.0
        assert torch.equal(model(audio=changed, audio_mask=mask).logits, model(audio=audio, audio_mask=mask).logits)
    torch.testing.assert_close(model(audio=audio, audio_mask=mask).logits, model(audio=audio[..., :3, :]).logits)


def test_without_mask_padding_every_step_is_data():
    stages = [LSTM]
    masked, unmasked = build(stages), build(stages, mask_padding=False)
    audio, mask = torch.randn(1, 1, 5, 6), torch.arange(5)[None, None] < 3
    assert torch.equal(unmasked(audio=audio, audio_mask=mask).logits, masked(audio=audio).logits)
    assert not torch.allclose(masked(audio=audio, audio_mask=mask).logits, masked(audio=audio).logits)


@pytest.mark.parametrize("length", [1, 2])
@pytest.mark.parametrize("stage", [{**CONV, "stride": 2}, {"kind": "pool", "reduce": "max", "size": 3}])
def test_an_utterance_shorter_than_a_window_fills_one(stage, length):
    model = build([stage, {"kind": "pool", "reduce": "mean"}])
    audio = torch.randn(1, 1, length, 6)
    alone = model(audio=audio).logits
    padded = torch.cat([audio, torch.zeros(1, 1, 4, 6)], 2)
    mask = torch.arange(length + 4)[None, None] < length
    torch.testing.assert_close(model(audio=padded, audio_mask=mask).logits, alone)


def test_a_fixed_length_is_required_of_the_batch():
    with pytest.raises(BatchError, match="audio"):
        build([FLAT, DENSE], max_length=4)(audio=torch.randn(1, 1, 5, 6))
    with pytest.raises(BatchError, match="below 9"):
        build([WORDS, LSTM])(input_ids=torch.full((1, 1, 3), 9))


def test_frozen_word_vectors_stay_frozen_when_loaded(tmp_path):
    model = build([{**WORDS, "trainable": False}, LSTM])
    model.save_pretrained(tmp_path)
    loaded = SequenceStackForEmotionRecognition.from_pretrained(tmp_path)
    for found in (model, model.train(), loaded):
        trained = {name for name, parameter in found.named_parameters() if parameter.requires_grad}
        assert trained == {name for name, _ in found.named_parameters()} - {"stages.0.weight"}


@pytest.mark.parametrize("over", ["layer", "batch"])
def test_the_activation_of_a_norm_is_behind_it(over):
    x = torch.randn(6, 1, 5, generator=torch.Generator().manual_seed(0))
    found = {}
    for activation in ("linear", "relu"):
        stages = [{"kind": "norm", "over": over, "activation": activation}]
        config = SequenceStackConfig(modality_dims={"text": 5}, input_kind="vector", stages=stages)
        model = SequenceStackForEmotionRecognition(config).train()
        found[activation] = model(text=x).hidden_states
    assert found["linear"].min() < 0
    assert torch.equal(found["relu"], found["linear"].clamp(min=0))
