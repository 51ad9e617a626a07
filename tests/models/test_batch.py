import pytest
import torch

from mm_emotion.errors import BatchError
from mm_emotion.models import (
    DialogueRNNConfig,
    DialogueRNNForEmotionRecognition,
    TextCNNConfig,
    TextCNNForEmotionRecognition,
)
from mm_emotion.models.batch import EmotionBatch, aligned, drop_modalities

SIZES = {"global_size": 4, "party_size": 4, "emotion_size": 4, "hidden_size": 4}


@pytest.fixture(scope="module")
def model():
    config = DialogueRNNConfig(modality_dims={"text": 3, "audio": 2}, num_labels=3, **SIZES)
    return DialogueRNNForEmotionRecognition(config).eval()


def good():
    mask = torch.tensor([[True, True], [True, False]])
    return {
        "text": torch.randn(2, 2, 3),
        "audio": torch.randn(2, 2, 2),
        "utterance_mask": mask,
        "modality_mask": mask[..., None].repeat(1, 1, 4),
        "speaker_mask": torch.tensor([[[True, False], [False, True]], [[True, False], [False, False]]]),
        "labels": torch.tensor([[0, 2], [1, -100]]),
    }


def test_lengths_and_speakers_come_from_the_masks():
    batch = EmotionBatch(**good())
    assert batch.lengths.tolist() == [2, 1]
    assert batch.speakers.tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("audio", None, "audio: expected a tensor, as modality_mask says, got None"),
        ("audio", torch.randn(2, 2, 5), "audio: expected a feature width of 2, got 5"),
        ("audio", torch.randn(2, 2, 4, 2), "audio: expected shape (B, U, 2)"),
        ("audio", torch.ones(2, 2, 2, dtype=torch.int64), "audio: expected floating point"),
        ("audio", torch.randn(2, 3, 2), "audio: expected (2, 2) dialogues and utterances"),
        ("utterance_mask", torch.ones(2, 2), "utterance_mask: expected dtype torch.bool"),
        ("utterance_mask", torch.ones(2, 3, dtype=torch.bool), "utterance_mask: expected shape (2, 2)"),
        (
            "utterance_mask",
            torch.tensor([[True, True], [False, True]]),
            "utterance_mask: expected padding on the right",
        ),
        ("modality_mask", torch.ones(2, 2, 3, dtype=torch.bool), "modality_mask: expected shape (2, 2, 4)"),
        ("speaker_mask", None, "speaker_mask: expected a bool tensor"),
        ("speaker_mask", torch.ones(2, 2, 2), "speaker_mask: expected dtype torch.bool"),
        ("speaker_mask", torch.ones(2, 2, dtype=torch.bool), "speaker_mask: expected shape"),
        ("speaker_mask", torch.ones(2, 2, 2, dtype=torch.bool), "speaker_mask: expected one party"),
        ("labels", torch.tensor([[0.0, 2], [1, -100]]), "labels: expected torch.int64"),
        ("labels", torch.tensor([0, 1]), "labels: expected torch.int64 (2, 2)"),
        ("labels", torch.tensor([[0, 3], [1, -100]]), "labels: expected 0 .. 2 or -100, got 3"),
        ("labels", torch.tensor([[0, -1], [1, -100]]), "labels: expected 0 .. 2 or -100, got -1"),
    ],
)
def test_a_bad_batch_is_refused_by_name(model, key, value, words):
    model(**good())
    with pytest.raises(BatchError) as error:
        model(**{**good(), key: value})
    assert str(error.value).startswith(words)


def test_a_modality_left_out_counts_as_missing(model):
    batch = good()
    del batch["modality_mask"]
    absent = torch.tensor([True, False, True, True]).expand(2, 2, 4)
    expected = model(**batch, modality_mask=absent).logits
    del batch["audio"]
    assert torch.equal(model(**batch).logits, expected)
    assert torch.equal(model(**batch, modality_mask=absent).logits, expected)
    del batch["text"]
    with pytest.raises(BatchError, match="text: expected a tensor"):
        model(**batch)


def test_regression_labels_have_a_value_per_dimension():
    config = DialogueRNNConfig(modality_dims={"text": 3}, num_labels=2, problem_type="regression", **SIZES)
    batch = good()
    del batch["audio"]
    with pytest.raises(BatchError, match="labels: expected floating point"):
        DialogueRNNForEmotionRecognition(config)(**batch)


@pytest.mark.parametrize(
    ("options", "ids", "mask", "words"),
    [
        ({}, torch.ones(1, 1, 6), None, "input_ids: expected dtype torch.int64"),
        ({}, torch.ones(1, 1, 6, dtype=torch.int64), torch.ones(1, 1, 6), "text_mask: expected dtype torch.bool"),
        (
            {},
            torch.ones(1, 1, 6, dtype=torch.int64),
            torch.ones(1, 1, 5, dtype=torch.bool),
            "text_mask: expected shape",
        ),
        ({}, torch.full((1, 1, 6), 9), None, "input_ids: expected word indices below 9"),
        (
            {"pooling": "after_concat", "max_length": 7},
            torch.ones(1, 1, 6, dtype=torch.int64),
            None,
            "input_ids: expected a size",
        ),
    ],
)
def test_bad_words_are_refused_by_name(options, ids, mask, words):
    config = TextCNNConfig(vocab_size=9, embedding_size=3, num_filters=2, hidden_size=4, **options)
    with pytest.raises(BatchError) as error:
        TextCNNForEmotionRecognition(config)(input_ids=ids, text_mask=mask)
    assert str(error.value).startswith(words)


def test_dropped_modalities_leave_one_and_bring_none_back():
    torch.manual_seed(0)
    present = torch.rand(50, 40, 4) < 0.6
    kept = drop_modalities(present, [0, 2, 3], 0.7)
    assert not (kept & ~present).any()
    assert torch.equal(kept[..., 1], present[..., 1])
    used = [0, 2, 3]
    assert torch.equal(kept[..., used].any(-1), present[..., used].any(-1))
    assert kept[..., used].sum() < present[..., used].sum()


def test_modality_dropout_has_its_probability():
    torch.manual_seed(0)
    kept = drop_modalities(torch.ones(200, 100, 4, dtype=torch.bool), [0, 1, 2, 3], 0.3)
    # Lost: a modality drawn for it, unless all were and it is the one that stays.
    assert abs(kept.float().mean().item() - (0.7 + 0.3**4 / 4)) < 0.01


def test_modality_dropout_acts_in_training_alone(model):
    model.config.modality_dropout = 0.5
    try:
        batch = EmotionBatch(**good())
        assert model.gather(batch).modality_mask[0].all()
        torch.manual_seed(0)
        drawn = [model.train().gather(batch) for _ in range(20)]
        assert any(not one.modality_mask[0, 0, :2].all() for one in drawn)
        for one in drawn:
            assert not one.text[~one.modality_mask[..., 0]].any()
    finally:
        model.config.modality_dropout = 0.0
        model.eval()


def test_aligned_sequences_share_their_steps_and_are_0_where_one_has_none():
    present = torch.ones(1, 2, 4, dtype=torch.bool)
    present[0, 1, 1] = False
    text, audio = torch.full((1, 2, 3, 1), 2.0), torch.full((1, 2, 2, 1), torch.nan)
    audio[0, 0, 0] = 5.0
    mask = torch.tensor([[[True, True, False], [True, True, True]]])
    heard = torch.tensor([[[True, False], [False, False]]])
    batch = EmotionBatch(text=text, audio=audio, text_mask=mask, audio_mask=heard, modality_mask=present)
    (words, sound), steps = aligned(batch, [("text", text), ("audio", audio)])
    assert words.flatten().tolist() == [2, 2, 0, 2, 2, 2]
    assert sound.flatten().tolist() == [5, 0, 0, 0, 0, 0]
    assert torch.equal(steps, mask)
    bare = EmotionBatch(modality_mask=present)
    assert aligned(bare, [("text", text), ("audio", torch.zeros(1, 2, 1, 1))])[1].all()
