import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModel

from mm_emotion.errors import ConfigError
from mm_emotion.models import BCLSTMConfig, JointConfig, JointForEmotionRecognition, TextCNNConfig

WORDS = {"model_type": "text_cnn", "vocab_size": 12, "embedding_size": 4, "num_filters": 3, "hidden_size": 5}
SOUND = {"model_type": "bc_lstm", "modality_dims": {"audio": 2}, "recurrent_size": 3, "hidden_size": 6}
GOOD = {"children": [WORDS, SOUND], "hidden_size": 7, "num_labels": 3}


def build(**options) -> JointForEmotionRecognition:
    torch.manual_seed(0)
    return JointForEmotionRecognition(JointConfig(**{**GOOD, **options})).eval()


def a_batch() -> dict[str, torch.Tensor]:
    mask = torch.tensor([[True, True], [True, False]])
    return {
        "input_ids": torch.randint(1, 12, (2, 2, 6)),
        "audio": torch.randn(2, 2, 2),
        "utterance_mask": mask,
        "modality_mask": mask[..., None].repeat(1, 1, 4),
    }


def alone(model: JointForEmotionRecognition, index: int, config) -> torch.nn.Module:
    """A branch as a model of its own, with the head that the joint model took off."""
    child = AutoModel.from_config(config).eval()
    child.load_state_dict(model.branches[index].state_dict(), strict=False)
    return child


def test_the_head_reads_the_hidden_states_of_the_children():
    model, batch = build(), a_batch()
    batch["modality_mask"][0, 1, 1] = False
    words = alone(model, 0, TextCNNConfig(**{k: v for k, v in WORDS.items() if k != "model_type"}))
    sound = alone(model, 1, BCLSTMConfig(**{k: v for k, v in SOUND.items() if k != "model_type"}))
    states = [child(**batch).hidden_states for child in (words, sound)]
    states[1] = states[1].masked_fill(~batch["modality_mask"][..., 1:2], 0)
    expected = F.relu(F.linear(torch.cat(states, -1), model.dense.weight, model.dense.bias))
    output = model(**batch)
    torch.testing.assert_close(output.hidden_states, expected.masked_fill(~batch["utterance_mask"][..., None], 0))
    torch.testing.assert_close(output.logits[0], model.classifier(expected[0]))


def test_a_norm_stands_in_front_of_the_relu():
    model, batch = build(joint_norm=True), a_batch()
    plain = build()
    plain.load_state_dict(model.state_dict(), strict=False)
    states = []
    plain.dense.register_forward_hook(lambda *call: states.append(call[2]))
    plain(**batch)
    expected = F.relu(F.layer_norm(states[0], (7,), eps=1e-3))
    torch.testing.assert_close(model(**batch).hidden_states[0], expected[0])


def test_without_a_fusion_layer_the_classifier_reads_the_children():
    model = build(fusion_layer=False)
    assert model.dense is None
    assert model.config.hidden_size == model.classifier.in_features == 5 + 6
    assert model(**a_batch()).hidden_states.shape == (2, 2, 11)


def test_a_frozen_embedding_of_a_child_stays_frozen(tmp_path):
    model = build(children=[{**WORDS, "freeze_embedding": True}, SOUND])
    model.save_pretrained(tmp_path)
    for joint in (model, AutoModel.from_pretrained(tmp_path)):
        frozen = [name for name, parameter in joint.named_parameters() if not parameter.requires_grad]
        assert frozen == ["branches.0.embedding.weight"]


def test_one_loss_trains_every_branch_and_no_head_of_a_child_remains():
    model, batch = build(dropout=0.5).train(), a_batch()
    model(**batch, labels=torch.ones(2, 2, dtype=torch.int64)).loss.backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not [name for name, _ in model.named_parameters() if ".classifier." in name]


def test_what_the_children_read_is_what_the_whole_reads():
    model = build()
    assert model.config.modality_dims == {"audio": 2}
    assert model.input_shapes() == {"input_ids": (None,), "audio": (2,)}
    assert not model.config.is_causal  # bc-LSTM reads ahead
    assert build(children=[WORDS]).config.is_causal


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"children": []}, "children"),
        ({"children": [{**WORDS, "model_type": "text_cn"}]}, "children[0].model_type"),
        ({"children": [WORDS, {**WORDS, "num_filter": 3}]}, "num_filter"),
        ({"children": [SOUND, {**SOUND, "modality_dims": {"audio": 3}}]}, "modality_dims['audio']"),
        ({"modality_dims": {"audio": 3}}, "modality_dims"),
        ({"fusion_layer": False, "joint_norm": True}, "joint_norm"),
        ({"input_dropout": 0.1}, "input_dropout"),
    ],
)
def test_children_that_do_not_fit_are_refused(change, field):
    with pytest.raises(ConfigError) as error:
        JointConfig(**{**GOOD, **change})
    assert error.value.field == field


def test_children_that_read_one_key_in_two_shapes_are_refused():
    fixed = {**WORDS, "pooling": "per_branch", "max_length": 6, "conv_padding": "same"}
    with pytest.raises(ConfigError, match="input_ids"):
        build(children=[WORDS, fixed]).input_shapes()
