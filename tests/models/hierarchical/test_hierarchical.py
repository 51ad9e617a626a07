import pytest
import torch
from transformers import AutoModel

from mm_emotion.errors import BatchError, ConfigError
from mm_emotion.models import (
    BCLSTMConfig,
    BCLSTMForEmotionRecognition,
    CMNConfig,
    CMNForEmotionRecognition,
    HierarchicalConfig,
    HierarchicalForEmotionRecognition,
    LinearConfig,
    LinearForEmotionRecognition,
    TextCNNConfig,
    TextCNNForEmotionRecognition,
)

ENCODER = {
    "model_type": "text_cnn",
    "vocab_size": 12,
    "embedding_size": 4,
    "num_filters": 3,
    "hidden_size": 5,
    "num_labels": 4,
}
DIALOGUE = {
    "model_type": "bc_lstm",
    "modality_dims": {"text": 5, "audio": 2},
    "recurrent_size": 3,
    "hidden_size": 6,
    "num_labels": 3,
}
GOOD = {"encoders": [ENCODER], "streams": ["text"], "dialogue": DIALOGUE, "num_labels": 3}


def trained_parts():
    torch.manual_seed(0)
    encoder = TextCNNForEmotionRecognition(TextCNNConfig(**ENCODER))
    return BCLSTMForEmotionRecognition(BCLSTMConfig(**DIALOGUE)).eval(), encoder.eval()


def a_batch():
    mask = torch.tensor([[True, True, True], [True, False, False]])
    present = mask[..., None].repeat(1, 1, 4)
    present[0, 1, 0] = False
    return {
        "input_ids": torch.randint(1, 12, (2, 3, 7)),
        "text_mask": torch.arange(7) < torch.tensor([[[7], [3], [5]], [[6], [1], [1]]]),
        "audio": torch.randn(2, 3, 2),
        "utterance_mask": mask,
        "modality_mask": present,
    }


def test_one_checkpoint_equals_the_two_stages(tmp_path):
    dialogue, encoder = trained_parts()
    batch = a_batch()
    stored = encoder(**batch).hidden_states.masked_fill(~batch["modality_mask"][..., :1], 0)
    masks = {key: batch[key] for key in ("utterance_mask", "modality_mask")}
    expected = dialogue(text=stored, audio=batch["audio"], **masks)
    system = HierarchicalForEmotionRecognition.from_children(dialogue, [("text", encoder)]).eval()
    system.save_pretrained(tmp_path)
    for model in (system, AutoModel.from_pretrained(tmp_path)):
        output = model(**batch)
        torch.testing.assert_close(output.logits, expected.logits)
        torch.testing.assert_close(output.hidden_states, expected.hidden_states)
    assert system.config.id2label == dialogue.config.id2label


def test_parts_are_copies_without_the_encoder_s_head():
    dialogue, encoder = trained_parts()
    system = HierarchicalForEmotionRecognition.from_children(dialogue, [("text", encoder)])
    assert not [name for name, _ in system.named_parameters() if name.startswith("encoders.0.classifier")]
    with torch.no_grad():
        system.encoders[0].embedding.weight.zero_()
    assert encoder.embedding.weight.any()
    assert encoder.classifier is not None


def test_frozen_encoders_stay_frozen_and_still(tmp_path):
    dialogue, encoder = trained_parts()
    system = HierarchicalForEmotionRecognition.from_children(dialogue, [("text", encoder)], freeze_encoders=True)
    system.save_pretrained(tmp_path)
    for model in (system, AutoModel.from_pretrained(tmp_path)):
        model.train()
        assert not model.encoders.training
        assert model.dialogue.training
        trainable = {name.split(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert trainable == {"dialogue"}
        batch = a_batch()
        model(**batch, labels=torch.zeros(2, 3, dtype=torch.int64)).loss.backward()
        assert all(parameter.grad is not None for parameter in model.dialogue.parameters())


def test_inputs_are_those_of_the_parts():
    config = HierarchicalConfig(**GOOD)
    assert config.modality_dims == {"audio": 2}
    model = HierarchicalForEmotionRecognition(config)
    assert model.input_shapes() == {"audio": (2,), "input_ids": (None,)}
    assert not model.config.is_causal


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"encoders": []}, "encoders"),
        ({"dialogue": None}, "dialogue"),
        ({"streams": None}, "streams"),
        ({"streams": ["text", "audio"]}, "streams"),
        ({"streams": ["speech"]}, "streams"),
        ({"streams": ["audio"]}, "dialogue.modality_dims['audio']"),
        ({"encoders": [{**ENCODER, "hidden_size": 4}]}, "dialogue.modality_dims['text']"),
        ({"encoders": [{**ENCODER, "model_type": "text_cn"}]}, "encoders[0].model_type"),
        ({"encoders": [{"vocab_size": 3}]}, "encoders[0].model_type"),
        ({"encoders": [{"model_type": "bert"}]}, "encoders[0].model_type"),
        ({"encoders": [{**ENCODER, "num_filter": 3}]}, "num_filter"),
        ({"num_labels": 4}, "dialogue.num_labels"),
        ({"modality_dims": {"audio": 3}}, "modality_dims"),
    ],
)
def test_parts_that_do_not_fit_are_refused(change, field):
    with pytest.raises(ConfigError) as error:
        HierarchicalConfig(**{**GOOD, **change})
    assert error.value.field == field


def test_labels_come_from_whichever_side_names_them():
    bare = {key: value for key, value in DIALOGUE.items() if key != "num_labels"}
    assert HierarchicalConfig(**{**GOOD, "dialogue": bare}).dialogue["id2label"].keys() == {"0", "1", "2"}
    named = {**bare, "id2label": {"0": "sad", "1": "glad", "2": "neutral"}}
    config = HierarchicalConfig(encoders=[ENCODER], streams=["text"], dialogue=named)
    assert config.id2label == {0: "sad", 1: "glad", 2: "neutral"}


def test_a_stream_is_present_where_its_encoder_had_input_whatever_modality_it_is_named_after():
    torch.manual_seed(3)
    encoder = CMNForEmotionRecognition(CMNConfig(modality_dims={"audio": 2}, hidden_size=3))
    reader = LinearForEmotionRecognition(LinearConfig(modality_dims={"text": 3}))
    model = HierarchicalForEmotionRecognition.from_children(reader, [("text", encoder)]).eval()
    audio, speakers = torch.randn(1, 2, 2), torch.tensor([[[True, False], [False, True]]])
    only_audio = torch.tensor([[[False, True, False, False], [False, False, False, False]]])
    hidden = model(audio=audio, speaker_mask=speakers, modality_mask=only_audio).hidden_states
    assert hidden[0, 0].count_nonzero() == 3
    assert hidden[0, 1].count_nonzero() == 0


def test_an_encoder_may_be_the_one_that_needs_speakers():
    encoder = CMNForEmotionRecognition(CMNConfig(modality_dims={"audio": 2}, hidden_size=3))
    reader = LinearForEmotionRecognition(LinearConfig(modality_dims={"text": 3}))
    model = HierarchicalForEmotionRecognition.from_children(reader, [("text", encoder)])
    with pytest.raises(BatchError, match="speaker_mask"):
        model(audio=torch.randn(1, 2, 2))


def test_activation_checkpointing_reaches_a_pretrained_encoder():
    bert = {
        **{"model_type": "bert", "vocab_size": 12, "hidden_size": 4, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"intermediate_size": 6, "max_position_embeddings": 16},
    }
    encoder = {"model_type": "pretrained_encoder", "backbone": bert}
    dialogue = {**DIALOGUE, "modality_dims": {"text": 4, "audio": 2}}
    torch.manual_seed(0)
    model = HierarchicalForEmotionRecognition(
        HierarchicalConfig(encoders=[encoder], streams=["text"], dialogue=dialogue, num_labels=3)
    ).train()
    batch, gradients = {**a_batch(), "labels": torch.zeros(2, 3, dtype=torch.int64)}, []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
        assert all(block.gradient_checkpointing == checkpointing for block in model.encoders[0].blocks)
        model.zero_grad()
        torch.manual_seed(1)
        model(**batch).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(plain, saved) for plain, saved in zip(*gradients, strict=True))
