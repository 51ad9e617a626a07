"""Tiny random backbones of transformers, against the backbones themselves."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from mm_emotion.errors import BatchError, CheckpointError, ConfigError
from mm_emotion.models import PretrainedEncoderConfig, PretrainedEncoderForEmotionRecognition

SIZES = {"vocab_size": 30, "hidden_size": 8, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 12}
BERT = {"model_type": "bert", **SIZES, "max_position_embeddings": 24}
ROBERTA = {"model_type": "roberta", **SIZES, "max_position_embeddings": 24, "pad_token_id": 1}
DISTILBERT = {"model_type": "distilbert", "vocab_size": 30, "dim": 8, "n_layers": 3, "n_heads": 2, "hidden_dim": 12}
DEBERTA = {"model_type": "deberta-v2", **SIZES, "relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
CONVOLUTIONS = {
    **{"conv_dim": [6, 6], "conv_kernel": [4, 3], "conv_stride": [2, 2]},
    **{"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2},
}
SOUND = {**SIZES, **CONVOLUTIONS}
SOUND.pop("vocab_size")
SPEECH = {
    "wav2vec2": {"model_type": "wav2vec2", **SOUND},
    "hubert": {"model_type": "hubert", **SOUND, "feat_extract_norm": "layer", "do_stable_layer_norm": True},
    "wavlm": {"model_type": "wavlm", **SOUND},
}
# WavLM of transformers mixes the types of its own masks.
mixed_masks = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask:UserWarning")
IDS = torch.tensor([[[2, 7, 8, 3, 0], [2, 9, 3, 0, 0], [2, 5, 6, 7, 3]]])
MASK = IDS != 0


def encoder(backbone=None, **options):
    torch.manual_seed(0)
    return PretrainedEncoderForEmotionRecognition(PretrainedEncoderConfig(backbone=backbone or BERT, **options)).eval()


@pytest.mark.parametrize("backbone", [BERT, ROBERTA, DISTILBERT, DEBERTA], ids=lambda backbone: backbone["model_type"])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "last"])
def test_an_utterance_gets_what_the_backbone_gives_it_alone(backbone, pooling):
    model = encoder(backbone, pooling=pooling)
    hidden = model(input_ids=IDS, text_mask=MASK).hidden_states[0]
    for found, ids, mask in zip(hidden, IDS[0], MASK[0], strict=True):
        states = model.backbone(ids[mask][None]).last_hidden_state[0]
        expected = {"mean": states.mean(0), "cls": states[0], "max": states.amax(0), "last": states[-1]}[pooling]
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@mixed_masks
@pytest.mark.parametrize("kind", SPEECH)
def test_a_sound_gets_what_the_backbone_gives_it_alone(kind):
    model = encoder(SPEECH[kind], modality="audio")
    lengths = torch.tensor([40, 23, 40, 9])
    audio = torch.randn(1, 4, 40, 1)
    mask = torch.arange(40) < lengths[None, :, None]
    hidden = model(audio=audio.masked_fill(~mask[..., None], 5.0), audio_mask=mask).hidden_states[0]
    for found, wave, length in zip(hidden, audio[0, ..., 0], lengths, strict=True):
        expected = model.backbone(wave[None, :length]).last_hidden_state[0].mean(0)
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    short = model(audio=audio[:, :, :2])
    assert short.logits.isfinite().all()


@mixed_masks
@pytest.mark.parametrize("kind", SPEECH)
def test_a_speech_model_trains_on_short_sounds(kind):
    model = encoder(SPEECH[kind], modality="audio").train()
    model(audio=torch.randn(1, 2, 30, 1), labels=torch.tensor([[0, 1]])).loss.backward()
    learning = [value for value in model.parameters() if value.requires_grad]
    assert all(value.grad is not None for value in learning)
    assert {name for name, value in model.named_parameters() if not value.requires_grad} <= {
        "backbone.masked_spec_embed"
    }


def test_layers_count_as_in_transformers():
    model = encoder(layer=1)
    hidden = model(input_ids=IDS[:, 2:], text_mask=MASK[:, 2:]).hidden_states[0, 0]
    states = model.backbone(IDS[0, 2:], output_hidden_states=True).hidden_states[1][0]
    torch.testing.assert_close(hidden, states.mean(0))
    still = {name.split(".")[3] for name, value in model.named_parameters() if not value.requires_grad}
    assert still == {"1", "2"}
    average = encoder(layer="weighted")
    hidden = average(input_ids=IDS[:, 2:], text_mask=MASK[:, 2:]).hidden_states[0, 0]
    states = torch.stack(average.backbone(IDS[0, 2:], output_hidden_states=True).hidden_states)[:, 0].mean(0)
    torch.testing.assert_close(hidden, states.mean(0))


def test_a_normalized_vector_has_a_mean_square_of_one():
    hidden = encoder(normalize=True)(input_ids=IDS, text_mask=MASK).hidden_states
    torch.testing.assert_close(hidden.square().mean(-1), torch.ones(1, 3), atol=1e-4, rtol=1e-4)


def trainable(model):
    names = [name for name, value in model.named_parameters() if value.requires_grad]
    return {".".join(name.split(".")[1:4]) if "layer" in name else name.split(".")[0] for name in names}


@pytest.mark.parametrize(
    ("freeze", "expected"),
    [
        ("all", {"classifier"}),
        (0, {"encoder.layer.0", "encoder.layer.1", "encoder.layer.2", "classifier"}),
        (2, {"encoder.layer.2", "classifier"}),
    ],
)
def test_what_is_frozen_stays_so_after_loading(freeze, expected, tmp_path):
    encoder(freeze=freeze).save_pretrained(tmp_path)
    model = AutoModel.from_pretrained(tmp_path).train()
    assert {name for name in trainable(model) if not name.startswith("embeddings")} == expected
    assert not any("embeddings" in name for name in trainable(model))
    assert model.backbone.training == (freeze != "all")
    model(input_ids=IDS, text_mask=MASK, labels=torch.tensor([[0, 1, 0]])).loss.backward()
    assert all((value.grad is not None) == value.requires_grad for value in model.parameters())


def test_activation_checkpointing_changes_nothing_but_memory():
    gradients = []
    for checkpointing in (False, True):
        model = encoder(gradient_checkpointing=checkpointing, backbone={**BERT, "hidden_dropout_prob": 0.3}).train()
        assert any(getattr(block, "gradient_checkpointing", False) for block in model.blocks) == checkpointing
        torch.manual_seed(1)
        loss = model(input_ids=IDS, text_mask=MASK, labels=torch.tensor([[0, 1, 0]])).loss
        loss.backward()
        gradients.append([loss.detach(), *(value.grad for value in model.parameters())])
    assert all(torch.equal(plain, saved) for plain, saved in zip(*gradients, strict=True))


def test_previous_turns_are_read_in_their_own_dialogue_and_never_later_ones():
    model = encoder(previous_turns=1)
    ids, mask = torch.cat([IDS, IDS.flip(1)]), torch.cat([MASK, MASK.flip(1)])
    before = model(input_ids=ids, text_mask=mask).hidden_states
    words = torch.cat([IDS[0, 0][MASK[0, 0]], IDS[0, 1][MASK[0, 1]]])
    states = model.backbone(words[None]).last_hidden_state[0]
    torch.testing.assert_close(before[0, 1], states[4:].mean(0), atol=1e-5, rtol=1e-4)
    changed = ids.clone()
    changed[0, 1, 1] = 20
    after = model(input_ids=changed, text_mask=mask).hidden_states
    same = (before - after).abs().amax(-1) < 1e-6
    assert same.tolist() == [[True, False, False], [True, True, True]]
    changed = ids.clone()
    changed[0, 0, 1] = 20
    after = model(input_ids=changed, text_mask=mask).hidden_states
    assert ((before - after).abs().amax(-1) < 1e-6).tolist() == [[False, False, True], [True, True, True]]


def test_an_utterance_without_words_is_no_context():
    model = encoder(previous_turns=1)
    present = torch.ones(1, 3, 4, dtype=torch.bool)
    present[0, 1, 0] = False
    hidden = model(input_ids=IDS, text_mask=MASK, modality_mask=present).hidden_states
    alone = model(input_ids=IDS[:, 2:], text_mask=MASK[:, 2:]).hidden_states
    torch.testing.assert_close(hidden[:, 2:], alone)
    assert not hidden[0, 1].any()


def test_nobody_with_words_still_takes_part_in_the_sum_of_gradients():
    model = encoder().train()
    present = torch.zeros(1, 3, 4, dtype=torch.bool)
    output = model(input_ids=IDS, text_mask=MASK, modality_mask=present, labels=torch.tensor([[0, 1, 0]]))
    output.loss.backward()
    assert not output.hidden_states.any()
    assert all(value.grad is not None and value.grad.isfinite().all() for value in model.parameters())


def test_weights_come_once_and_the_checkpoint_needs_them_no_more(tmp_path):
    torch.manual_seed(3)
    backbone = AutoModel.from_config(AutoConfig.for_model(**BERT))
    backbone.save_pretrained(tmp_path / "bert")
    model = encoder({**BERT, "num_hidden_layers": 2})
    model.start_from(tmp_path / "bert")
    for name, value in model.backbone.named_parameters():
        assert torch.equal(value, backbone.state_dict()[name])
    model.save_pretrained(tmp_path / "ours")
    (tmp_path / "bert" / "model.safetensors").unlink()
    loaded = AutoModel.from_pretrained(tmp_path / "ours")
    assert torch.equal(loaded(input_ids=IDS, text_mask=MASK).logits, model.eval()(input_ids=IDS, text_mask=MASK).logits)
    with pytest.raises(CheckpointError, match="bert"):
        model.start_from(tmp_path / "bert")


def test_weights_of_another_shape_are_named(tmp_path):
    AutoModel.from_config(AutoConfig.for_model(**{**BERT, "intermediate_size": 10})).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"encoder\.layer\.0\.intermediate"):
        encoder().start_from(tmp_path)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"backbone": None}, "backbone"),
        ({"backbone": {"vocab_size": 3}}, "backbone.model_type"),
        ({"backbone": {"model_type": "brt"}}, "backbone.model_type"),
        ({"backbone": {"model_type": "text_cnn"}}, "backbone.model_type"),
        ({"backbone": {"model_type": "t5"}}, "backbone.model_type"),
        ({"backbone": {"model_type": "vit"}}, "backbone.model_type"),
        ({"backbone": SPEECH["wav2vec2"]}, "backbone.model_type"),
        ({"modality": "audio"}, "backbone.model_type"),
        ({"layer": 4}, "layer"),
        ({"layer": "top"}, "layer"),
        ({"freeze": 4}, "freeze"),
        ({"freeze": "some"}, "freeze"),
        ({"max_length": 25}, "max_length"),
        ({"previous_turns": -1}, "previous_turns"),
        ({"modality": "audio", "previous_turns": 1}, "previous_turns"),
        ({"modality_dims": {"text": 3}}, "modality_dims"),
    ],
)
def test_impossible_settings_are_refused(options, field):
    with pytest.raises(ConfigError) as error:
        PretrainedEncoderConfig(**{"backbone": BERT, **options})
    assert error.value.field == field


@pytest.mark.parametrize("turns", [0, 1])
def test_an_utterance_longer_than_the_positions_is_refused(turns):
    with pytest.raises(BatchError, match="at most 24 steps"):
        encoder(previous_turns=turns)(input_ids=torch.ones(1, 1, 25, dtype=torch.int64))
    model = encoder(ROBERTA)
    assert model(input_ids=torch.full((1, 1, 22), 5)).logits.isfinite().all()
    with pytest.raises(BatchError, match="at most 22 steps"):
        model(input_ids=torch.full((1, 1, 23), 5))


@pytest.mark.parametrize("kind", ["data2vec-text", "longformer", "mpnet", "roberta-prelayernorm", "xlm-roberta-xl"])
def test_words_before_are_dropped_where_positions_start_behind_the_padding(kind):
    options = {"attention_window": 4} if kind == "longformer" else {}
    model = encoder({**ROBERTA, **options, "model_type": kind}, previous_turns=1)
    assert model(input_ids=torch.full((1, 2, 20), 5)).logits.isfinite().all()


def test_a_decoder_has_layers_and_positions_by_other_names():
    gpt = {"model_type": "gpt2", "vocab_size": 30, "n_embd": 8, "n_layer": 3, "n_head": 2, "n_positions": 24}
    model = encoder(gpt, freeze=1, previous_turns=1)
    assert len(model.blocks) == 3
    assert model(input_ids=torch.full((1, 2, 20), 5)).logits.isfinite().all()


def test_activation_checkpointing_is_refused_where_the_backbone_has_none():
    with pytest.raises(ConfigError, match="gradient_checkpointing"):
        encoder({**ROBERTA, "model_type": "mpnet"}, gradient_checkpointing=True)


def test_a_backbone_of_shared_layers_is_frozen_as_a_whole_or_not_at_all():
    albert = {"model_type": "albert", **SIZES, "embedding_size": 4}
    assert encoder(albert, freeze="all")(input_ids=IDS, text_mask=MASK).logits.isfinite().all()
    with pytest.raises(ConfigError, match="freeze"):
        encoder(albert, freeze=1)
