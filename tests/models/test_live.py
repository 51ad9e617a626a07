"""Dialogues that go on, join, leave, move and are written to disk between two steps."""

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import one_hot

from mm_emotion.errors import BatchError, CheckpointError
from mm_emotion.models import (
    BCLSTMConfig,
    BCLSTMForEmotionRecognition,
    CMNConfig,
    CMNForEmotionRecognition,
    DialogueRNNConfig,
    DialogueRNNForEmotionRecognition,
    EarlyFusionConfig,
    EarlyFusionForEmotionRecognition,
    HierarchicalForEmotionRecognition,
    ICONConfig,
    ICONForEmotionRecognition,
    JointConfig,
    JointForEmotionRecognition,
    LateFusionForEmotionRecognition,
    MemnetConfig,
    MemnetForEmotionRecognition,
    MFNConfig,
    MFNForEmotionRecognition,
)
from mm_emotion.models.children import as_data
from mm_emotion.models.live import DialogueState

SIZES = {"modality_dims": {"text": 3}, "num_labels": 4}
RNN = {**SIZES, "global_size": 5, "party_size": 4, "emotion_size": 3, "hidden_size": 3}
FAMILIES = ["dialogue_rnn", "dialogue_rnn_l", "bc_lstm", "memnet", "mfn", "cmn", "icon"]
COMPOSITES = ["late_fusion", "joint", "early_fusion", "hierarchical"]
every_family = pytest.mark.parametrize("name", FAMILIES)


def build(name):
    torch.manual_seed(3)
    makers = {
        "dialogue_rnn": lambda: DialogueRNNForEmotionRecognition(DialogueRNNConfig(**RNN)),
        "dialogue_rnn_l": lambda: DialogueRNNForEmotionRecognition(DialogueRNNConfig(**RNN, listener_state=True)),
        "bc_lstm": lambda: BCLSTMForEmotionRecognition(BCLSTMConfig(**SIZES, recurrent_size=4, bidirectional=False)),
        "memnet": lambda: MemnetForEmotionRecognition(MemnetConfig(**SIZES, hidden_size=4, window=3)),
        "mfn": lambda: MFNForEmotionRecognition(MFNConfig(**SIZES, hidden_size=4, window=2)),
        "cmn": lambda: CMNForEmotionRecognition(CMNConfig(**SIZES, hidden_size=4, window=3)),
        "icon": lambda: ICONForEmotionRecognition(ICONConfig(**SIZES, hidden_size=4, window=3)),
    }
    return makers[name]().eval()


def build_composite(name):
    """Models whose parts read earlier utterances."""
    parts = [build("dialogue_rnn"), build("bc_lstm"), build("cmn")]
    children = [as_data(part.config) for part in parts]
    reader = MemnetForEmotionRecognition(
        MemnetConfig(modality_dims={"audio": 6}, num_labels=4, hidden_size=4, window=3)
    )
    encoders = [("audio", parts[0]), ("audio", parts[0])]
    makers = {
        "late_fusion": lambda: LateFusionForEmotionRecognition.from_children(parts, rule="product"),
        "joint": lambda: JointForEmotionRecognition(JointConfig(children=children, num_labels=4, hidden_size=3)),
        "early_fusion": lambda: EarlyFusionForEmotionRecognition(EarlyFusionConfig(**SIZES, stack=children[1])),
        "hierarchical": lambda: HierarchicalForEmotionRecognition.from_children(reader, encoders),
    }
    return makers[name]().eval()


def dialogue(length, seed):
    generator = torch.Generator().manual_seed(seed)
    speakers = one_hot(torch.randint(0, 3, (1, length), generator=generator), 3).bool()
    return {"text": torch.randn(1, length, 3, generator=generator), "speaker_mask": speakers}


def part(batch, start, stop=None):
    return {key: value[:, start : stop or start + 1] for key, value in batch.items()}


def together(*batches):
    return {key: torch.cat([batch[key] for batch in batches]) for key in batches[0]}


def close(left, right):
    torch.testing.assert_close(left, right, atol=1e-6, rtol=1e-5)


@every_family
def test_dialogues_join_and_leave_without_touching_one_another(name):
    model, first, second = build(name), dialogue(6, 1), dialogue(3, 2)
    expected = [model(**batch).logits[0] for batch in (first, second)]
    _, state = model.step(part(first, 0))
    _, state = model.step(part(first, 1), state)
    _, newcomer = model.step(part(second, 0))
    state = state.join(newcomer)
    for t in (1, 2):
        logits, state = model.step(together(part(first, t + 1), part(second, t)), state)
        close(logits[:, 0], torch.stack([expected[0][t + 1], expected[1][t]]))
    state = state.select([0])
    for t in (4, 5):
        logits, state = model.step(part(first, t), state)
        close(logits[0, 0], expected[0][t])


@every_family
def test_several_utterances_at_once_and_a_state_from_disk(name, tmp_path):
    model, batch = build(name), dialogue(7, 4)
    _, state = model.step(part(batch, 0, 4))
    state.save(tmp_path / "state.safetensors")
    restored = DialogueState.load(tmp_path / "state.safetensors").to("cpu")
    logits, _ = model.step(part(batch, 4, 7), restored)
    close(logits, model(**batch).logits[:, 4:])


@pytest.mark.parametrize("name", COMPOSITES)
def test_what_the_parts_of_a_model_remember_is_kept(name, tmp_path):
    model, batch, state = build_composite(name), dialogue(6, 9), None
    expected = model(**batch).logits
    for t in range(6):
        logits, state = model.step(part(batch, t), state)
        close(logits[:, 0], expected[:, t])
        state.save(tmp_path / "state.safetensors")
        state = DialogueState.load(tmp_path / "state.safetensors")


@every_family
def test_a_party_may_come_in_later(name):
    model, batch, state = build(name), dialogue(5, 5), None
    batch["speaker_mask"] = one_hot(torch.tensor([[0, 1, 0, 2, 1]]), 3).bool()
    expected = model(**batch).logits
    for t in range(5):
        utterance = part(batch, t)
        if t < 3:
            utterance["speaker_mask"] = utterance["speaker_mask"][..., :2]
        logits, state = model.step(utterance, state)
        close(logits[:, 0], expected[:, t])


@every_family
def test_dialogues_with_other_numbers_of_parties_join(name):
    model = build(name)
    few, many = dialogue(6, 21), dialogue(6, 22)
    few["speaker_mask"] = one_hot(torch.tensor([[0, 1, 1, 0, 2, 1]]), 4).bool()
    many["speaker_mask"] = one_hot(torch.tensor([[0, 1, 2, 3, 1, 2]]), 4).bool()
    _, first = model.step(part({**few, "speaker_mask": few["speaker_mask"][..., :2]}, 0, 3))
    _, second = model.step(part(many, 0, 3))
    state = first.join(second)
    for t in (3, 4, 5):
        logits, state = model.step(together(part(few, t), part(many, t)), state)
        close(logits[:, 0], torch.cat([model(**batch).logits[:, t] for batch in (few, many)]))


@every_family
def test_a_state_grows_only_by_the_history_that_is_attended_to(name):
    model, state, sizes, batch = build(name), None, set(), dialogue(12, 6)
    for t in range(12):
        _, state = model.step(part(batch, t), state)
        sizes.add(sum(tensor.numel() for key, tensor in state.tensors.items() if key != "history"))
    assert len(sizes) == 1
    assert not any(tensor.requires_grad for tensor in state.tensors.values())


def test_a_state_of_another_model_or_of_other_dialogues_is_refused():
    batch, cmn, icon = dialogue(2, 7), build("cmn"), build("icon")
    _, state = cmn.step(part(batch, 0))
    with pytest.raises(CheckpointError, match="icon"):
        icon.step(part(batch, 1), state)
    with pytest.raises(CheckpointError, match="dict"):
        icon.step(part(batch, 1), state.tensors)
    with pytest.raises(CheckpointError, match="2 dialogues"):
        cmn.step(together(part(batch, 1), part(batch, 1)), state)
    _, other = icon.step(part(batch, 0))
    with pytest.raises(CheckpointError, match="cmn"):
        state.join(other)


@every_family
def test_dialogues_are_selected_by_any_kind_of_index(name):
    batch = together(*(dialogue(2, seed) for seed in (1, 2, 3)))
    _, state = build(name).step(batch)
    expected = state.select([2, 0]).tensors
    for index in (torch.tensor([2, 0]), list(torch.tensor([2, 0])), (2, 0), range(2, -1, -2)):
        selected = state.select(index).tensors
        assert all(torch.equal(selected[key], value) for key, value in expected.items())
    assert all(len(value) == 0 for value in state.select([]).tensors.values())


@every_family
def test_a_state_follows_the_model_into_another_dtype(name):
    model, batch = build(name), dialogue(3, 11)
    _, state = model.step(part(batch, 0, 2))
    logits, after = model.bfloat16().step(part(batch, 2), state)
    expected = model(**batch).logits[:, 2:]
    assert logits.dtype == torch.bfloat16
    torch.testing.assert_close(logits, expected, atol=0.03, rtol=0.03)
    assert {value.dtype for value in after.tensors.values() if value.is_floating_point()} == {torch.bfloat16}


def test_the_history_is_as_long_as_that_of_the_longest_dialogue_there():
    model, (first, second) = build("dialogue_rnn"), (dialogue(9, 12), dialogue(4, 13))
    _, long = model.step(part(first, 0, 9))
    _, short = model.step(part(second, 0))
    state = long.join(short).select([1])
    for t in (1, 2, 3):
        logits, state = model.step(part(second, t), state)
        assert state.tensors["history"].shape[1] == t + 1
    close(logits[0, 0], model(**second).logits[0, 3])


@every_family
def test_a_step_without_utterances_or_with_an_unknown_key_is_refused(name):
    model = build(name)
    with pytest.raises(BatchError, match="expected at least one dialogue, utterance and step"):
        model.step(dialogue(0, 14))
    with pytest.raises(BatchError, match=r"speakers_mask.*did you mean 'speaker_mask'"):
        model.step({**dialogue(1, 14), "speakers_mask": None})


@pytest.mark.parametrize("speakers", [torch.zeros(1, 1, 2), torch.ones(1, 1, 2), torch.ones(1, 1, 0), torch.ones(())])
def test_a_step_in_which_not_exactly_one_party_speaks_is_refused(speakers):
    with pytest.raises(BatchError, match="speaker_mask"):
        build("cmn").step({**dialogue(1, 16), "speaker_mask": speakers.bool()})


def test_a_state_on_another_device_is_refused():
    model, batch = build("cmn"), dialogue(2, 15)
    _, state = model.step(part(batch, 0))
    with pytest.raises(CheckpointError, match="device cpu"):
        model.step(part(batch, 1), state.to("meta"))


def test_padding_is_refused_in_a_step():
    mask = torch.tensor([[True, False]])
    with pytest.raises(BatchError, match="utterance_mask"):
        build("memnet").step({**dialogue(2, 8), "utterance_mask": mask})


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "text").write_text("no tensors")
    save_file({"a": torch.zeros(1)}, tmp_path / "weights")
    save_file({"a": torch.zeros(1)}, tmp_path / "words", metadata={"state": "not JSON"})
    save_file({"a": torch.zeros(1)}, tmp_path / "list", metadata={"state": "[1]"})
    for name in ("text", "weights", "words", "list", "missing"):
        with pytest.raises(CheckpointError, match=name):
            DialogueState.load(tmp_path / name)
