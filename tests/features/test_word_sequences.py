import numpy as np
import pytest

from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.features.word_sequences import WordSequences

TEXTS = ["the lake is cold", "", "the boat"]
VECTORS = "the 1 2\nlake 3 4\ncold 5 6\nwarm 7 8\n"


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text(VECTORS)
    return path


def test_a_transcript_is_the_vectors_of_its_words(path):
    made = WordSequences.fit(TEXTS, path=path)
    assert made.transform("The cold, LAKE!").tolist() == [[1, 2], [5, 6], [3, 4]]
    assert made.transform("boat").tolist() == [[0, 0]]  # a word of the training part that the file lacks
    assert made.transform("warm").tolist() == [[0, 0]]  # a word of the file that no training transcript has
    assert made.transform("").tolist() == [[0, 0]]
    assert made.transform("the").dtype == np.float32
    assert (made.size, made.coverage) == (2, "3 of 5 words (60.0%), 66.7% of their occurrences")


def test_words_without_a_vector_follow_the_rule_and_sequences_their_length(path):
    made = WordSequences.fit(TEXTS, path=path, unknown="mean", max_length=3, pad_side="left", truncation_side="right")
    assert made.transform("lake boat").tolist() == [[0, 0], [3, 4], [3, 4]]  # the mean of the three found is 3 4
    assert made.transform("the lake is cold")[-1].tolist() == [3, 4]


def test_the_processor_keeps_them_for_good(path, tmp_path):
    rows = [{"transcript": text} for text in TEXTS]
    options = {"text": {"feature": "word_vectors", "path": str(path), "max_length": 4}}
    processor = EmotionProcessor.fit(rows, options)
    assert processor.columns == ("text",)
    processor.save_pretrained(tmp_path / "saved")
    path.unlink()
    again = EmotionProcessor.from_pretrained(tmp_path / "saved")
    for text in TEXTS:
        np.testing.assert_array_equal(
            again.utterance({"text": text})["text"], processor.utterance({"text": text})["text"]
        )
    batch = again([[{"text": "the lake"}, {"text": "cold"}]])
    assert batch["text"].shape == (1, 2, 4, 2)
    (tmp_path / "saved" / "word_sequences.safetensors").unlink()
    with pytest.raises(CheckpointError, match="word_sequences"):
        EmotionProcessor.from_pretrained(tmp_path / "saved")


def test_ragged_sequences_are_padded_and_masked_by_the_collator(path):
    processor = EmotionProcessor.fit(
        [{"transcript": text} for text in TEXTS], {"text": {"feature": "word_vectors", "path": str(path)}}
    )
    batch = processor([[{"text": "the lake is"}, {"text": "cold"}]])
    assert batch["text"].shape == (1, 2, 3, 2)
    assert batch["text_mask"].tolist() == [[[True, True, True], [True, False, False]]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature": "word_vectors"}, "features.text.path"),
        ({"feature": "word_vector"}, "did you mean 'word_vectors'"),
        ({"feature": "word_vectors", "path": "x", "word_dimensions": 3}, "word_dimensions"),
        ({"feature": "word_vectors", "path": "no such file"}, "no such file"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(FeatureError, match=message):
        EmotionProcessor.fit([{"transcript": "the lake"}], {"text": options})


@pytest.mark.parametrize("damage", ["cut", "version", "rows"])
def test_a_damaged_file_is_refused(path, tmp_path, damage):
    made = WordSequences.fit(TEXTS, path=path)
    if damage == "rows":
        made = WordSequences(made.tokenizer, made.matrix[:-1], made.coverage)
    file = made.save(tmp_path)
    content = file.read_bytes()
    if damage == "cut":
        file.write_bytes(content[:20])
    elif damage == "version":
        file.write_bytes(content.replace(b'"version":"1"', b'"version":"7"'))
    with pytest.raises(CheckpointError):
        WordSequences.load(file)
