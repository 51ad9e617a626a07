"""The batch contract: keys, shapes, dtypes, padding, and every refusal."""

import numpy as np
import pytest
import torch

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.errors import BatchError, FeatureError
from mm_emotion.schema import BATCH_KEYS, IGNORE_INDEX


def row(party=0, **values) -> dict:
    return {"utterance_id": "u7", "party": party, **values}


def test_vectors_and_sequences_are_padded_on_the_right():
    batch = EmotionCollator()(
        [
            [row(0, text=[[1.0, 2], [3, 4]], audio=[1.0, 2, 3], label=2), row(2, text=[[5.0, 6]], audio=[4.0, 5, 6])],
            [row(1, text=[[7.0, 8]] * 3, audio=[7.0, 8, 9], label=0)],
        ]
    )
    assert {key: (tuple(value.shape), value.dtype) for key, value in batch.items()} == {
        "text": ((2, 2, 3, 2), torch.float32),
        "text_mask": ((2, 2, 3), torch.bool),
        "audio": ((2, 2, 3), torch.float32),
        "modality_mask": ((2, 2, 4), torch.bool),
        "utterance_mask": ((2, 2), torch.bool),
        "speaker_mask": ((2, 2, 3), torch.bool),
        "labels": ((2, 2), torch.int64),
    }
    assert batch["text"][0, 0].tolist() == [[1, 2], [3, 4], [0, 0]]
    assert batch["text_mask"].tolist() == [[[1, 1, 0], [1, 0, 0]], [[1, 1, 1], [0, 0, 0]]]
    assert batch["audio"][1].tolist() == [[7, 8, 9], [0, 0, 0]]
    assert batch["modality_mask"].tolist() == [[[1, 1, 0, 0]] * 2, [[1, 1, 0, 0], [0] * 4]]
    assert batch["utterance_mask"].tolist() == [[1, 1], [1, 0]]
    assert batch["speaker_mask"].tolist() == [[[1, 0, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 0]]]
    assert batch["labels"].tolist() == [[2, IGNORE_INDEX], [0, IGNORE_INDEX]]


def test_keys_come_in_schema_order():
    batch = EmotionCollator()([[row(label=1, mocap=[1.0], audio=[[1.0]], input_ids=[3], visual=[1.0])]])
    assert list(batch) == [key for key in BATCH_KEYS if key in batch]
    assert set(batch) >= {"input_ids", "text_mask", "audio_mask"} and "visual_mask" not in batch


def test_input_ids_use_the_text_mask_and_place():
    batch = EmotionCollator()([[row(input_ids=[5, 6]), row(input_ids=np.array([7], dtype=np.int32))]])
    assert batch["input_ids"].dtype == torch.int64
    assert batch["input_ids"].tolist() == [[[5, 6], [7, 0]]]
    assert batch["text_mask"].tolist() == [[[1, 1], [1, 0]]]
    assert batch["modality_mask"][0, :, 0].tolist() == [True, True]


def test_input_ids_beside_sentence_vectors_and_beside_steps_of_equal_number():
    batch = EmotionCollator()([[row(input_ids=[5, 6], text=[1.0, 2.0, 3.0])]])
    assert batch["text"].shape == (1, 1, 3) and batch["text_mask"].shape == (1, 1, 2)
    batch = EmotionCollator()([[row(input_ids=[5, 6], text=[[1.0], [2.0]])]])
    assert batch["text_mask"].tolist() == [[[True, True]]]
    with pytest.raises(BatchError, match="input_ids"):
        EmotionCollator()([[row(input_ids=[5, 6], text=[[1.0]])]])


def test_a_missing_modality_is_marked_and_zero():
    batch = EmotionCollator()([[row(audio=None, text=[1.0]), row(audio=[[2.0], [3.0]], text=None)]])
    assert batch["modality_mask"].tolist() == [[[1, 0, 0, 0], [0, 1, 0, 0]]]
    assert not batch["audio_mask"][0, 0].any() and not batch["audio"][0, 0].any()
    assert batch["text"].tolist() == [[[1.0], [0.0]]]


def test_a_modality_that_no_row_has_gets_no_key():
    batch = EmotionCollator()([[row(audio=None, visual=None, affect=None)]])
    assert set(batch) == {"modality_mask", "utterance_mask", "speaker_mask"}


def test_clips_are_stacked_without_a_time_mask():
    clip = np.random.default_rng(0).random((3, 2, 4, 5), dtype=np.float32)
    batch = EmotionCollator()([[row(visual=clip)], [row(visual=torch.from_numpy(clip))]])
    assert batch["visual"].shape == (2, 1, 3, 2, 4, 5) and "visual_mask" not in batch
    assert torch.equal(batch["visual"][1, 0], torch.from_numpy(clip))
    with pytest.raises(FeatureError, match="visual of utterance 'u7'"):
        EmotionCollator()([[row(visual=clip)], [row(visual=clip[:, :1])]])
    with pytest.raises(FeatureError, match="1 or 2 axes"):
        EmotionCollator()([[row(audio=clip)]])


@pytest.mark.parametrize("make", [list, np.float64, np.float16, torch.tensor, lambda v: torch.tensor(v).bfloat16()])
def test_lists_arrays_and_tensors_give_the_same(make):
    assert EmotionCollator()([[row(audio=make([[1.0, 2.0], [0.5, 4.0]]))]])["audio"].tolist() == [[[[1, 2], [0.5, 4]]]]


def test_modalities_keep_only_some():
    rows = [[row(input_ids=[1], text=[2.0], audio=[3.0], visual=[4.0])]]
    batch = EmotionCollator(modalities=["text"])(rows)
    assert {"input_ids", "text"} <= set(batch) and not {"audio", "visual"} & set(batch)
    assert batch["modality_mask"].tolist() == [[[1, 0, 0, 0]]]
    with pytest.raises(BatchError, match="smell"):
        EmotionCollator(modalities=["smell"])


def test_num_parties_fixes_the_axis():
    assert EmotionCollator(num_parties=4)([[row(1)]])["speaker_mask"].tolist() == [[[0, 1, 0, 0]]]
    with pytest.raises(BatchError, match=r"party of utterance 'u7': expected an integer in 0..1, got 2"):
        EmotionCollator(num_parties=2)([[row(2)]])
    with pytest.raises(BatchError, match="num_parties"):
        EmotionCollator(num_parties=0)


def test_affect_is_padded_with_nan():
    batch = EmotionCollator()([[row(affect=[1.0, np.nan]), row(affect=None)], [row(affect=[2.0, 3.0])]])
    assert batch["labels"].dtype == torch.float32 and batch["labels"].shape == (2, 2, 2)
    assert batch["labels"].isnan().tolist() == [[[0, 1], [1, 1]], [[0, 0], [1, 1]]]
    assert batch["labels"][1, 0].tolist() == [2, 3]


def test_labels_of_context_utterances():
    batch = EmotionCollator()([[row(label=None), row(label=IGNORE_INDEX), row(label=np.int64(3)), row()]])
    assert batch["labels"].tolist() == [[IGNORE_INDEX, IGNORE_INDEX, 3, IGNORE_INDEX]]
    assert "labels" not in EmotionCollator()([[row()]])


def test_the_batch_does_not_share_memory_with_the_rows():
    features = np.ones((2, 3), dtype=np.float32)
    EmotionCollator()([[row(audio=features)]])["audio"].zero_()
    assert features.all()


@pytest.mark.parametrize(
    ("rows", "error", "message"),
    [
        ([], BatchError, "at least one dialogue"),
        ([[]], BatchError, "dialogue 0"),
        ([row()], BatchError, "a list of utterance rows"),
        ([[{"party": None}]], BatchError, "party of utterance 0 in dialogue 0"),
        ([[row(-1)]], BatchError, "party of utterance 'u7'"),
        ([[row(0.5)]], BatchError, "0.5"),
        ([[row(text=[1.0]), row(text=[1.0, 2.0])]], FeatureError, r"text of utterance 'u7': expected shape \(1,\)"),
        ([[row(text=[[1.0]]), row(text=[[1.0, 2.0]])]], FeatureError, r"expected shape \('T', 1\)"),
        ([[row(text=[1.0]), row(text=[[1.0]])]], FeatureError, "as in the rest of the batch"),
        ([[row(text=[[1.0], [1.0, 2.0]])]], FeatureError, "rows of one width"),
        ([[row(audio=[1.0, np.nan])]], FeatureError, "audio of utterance 'u7': expected finite values, got 1 NaN"),
        ([[row(audio=[1e300])]], FeatureError, "finite"),
        ([[row(audio=torch.tensor([torch.inf]))]], FeatureError, "finite"),
        ([[row(audio=np.zeros((0, 3)))]], FeatureError, "at least one value"),
        ([[row(audio=[])]], FeatureError, "at least one value"),
        ([[row(audio=3.0)]], FeatureError, "1 or 2 axes"),
        ([[row(audio=["a"])]], FeatureError, "numbers"),
        ([[row(input_ids=[1.5])]], FeatureError, "integers"),
        ([[row(input_ids=[-1])]], FeatureError, "indices >= 0"),
        ([[row(input_ids=[[1]])]], FeatureError, "1 axes"),
        ([[row(label=1.5)]], BatchError, "label of utterance 'u7'"),
        ([[row(label=-1)]], BatchError, "-1"),
        ([[row(label="happy")]], BatchError, "happy"),
        ([[row(label=1), row(affect=[1.0])]], BatchError, "both"),
        ([[row(affect=[1.0]), row(affect=[1.0, 2.0])]], BatchError, r"affect of utterance 'u7': expected shape \(1,\)"),
        ([[row(affect=2.0)]], BatchError, "a vector"),
        ([[row(affect=[np.inf])]], BatchError, "finite"),
    ],
)
def test_bad_rows_are_refused_by_name(rows, error, message):
    with pytest.raises(error, match=message):
        EmotionCollator()(rows)
