import json
import os
from pathlib import Path

import pytest
from transformers import AutoTokenizer

import mm_emotion.features.processor  # noqa: F401 (registers the Auto classes)
from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features.vocabulary import EmotionTokenizer, split_words

TRANSCRIPTS = ["The lake is cold.", None, "Is it? It's cold, COLD!", "the boat"]


def test_words_are_those_of_keras():
    assert split_words("Don't -- you\tSEE_it?\n<now> [ok]") == ["don't", "you", "see", "it", "now", "ok"]


def test_marks_are_words_where_asked_for():
    words = ["don't", "!", "is", "it", "?", "!", "well", "...", "no", ",", "no"]
    assert split_words("Don't! Is it?! <Well>... no, no", punctuation=True) == words
    tokenizer = EmotionTokenizer.fit(TRANSCRIPTS, punctuation=True)
    assert tokenizer.encode_words("cold?") == tokenizer.convert_tokens_to_ids(["cold", "?"]) != [2, 1]
    assert tokenizer.num_words == EmotionTokenizer.fit(TRANSCRIPTS).num_words + 4  # . ? , !


def test_ids_follow_frequency_then_first_appearance():
    tokenizer = EmotionTokenizer.fit(TRANSCRIPTS)
    words = ["<pad>", "<unk>", "cold", "the", "is", "lake", "it", "it's", "boat"]
    assert tokenizer.get_vocab() == {word: index for index, word in enumerate(words)}
    assert (tokenizer.num_words, tokenizer.vocab_size, len(tokenizer)) == (7, 9, 9)


def test_max_words_keeps_the_most_frequent_and_makes_the_rest_unknown():
    tokenizer = EmotionTokenizer.fit(TRANSCRIPTS, max_words=2)
    assert tokenizer.encode_words("the cold boat") == [3, 2, 1]


@pytest.mark.parametrize("text", ["", "   ", "?!"])
def test_an_utterance_without_words_is_one_unknown_word(text):
    assert EmotionTokenizer.fit(TRANSCRIPTS).encode_words(text) == [1]
    assert EmotionTokenizer.fit(TRANSCRIPTS, max_length=3).encode_words(text) == [1, 0, 0]


@pytest.mark.parametrize(
    ("pad_side", "truncation_side", "short", "long"),
    [
        ("right", "left", [3, 2, 0], [4, 2, 5]),
        ("left", "left", [0, 3, 2], [4, 2, 5]),
        ("right", "right", [3, 2, 0], [3, 4, 2]),
        ("left", "right", [0, 3, 2], [3, 4, 2]),
    ],
)
def test_a_fixed_length_pads_and_truncates_on_its_sides(pad_side, truncation_side, short, long):
    tokenizer = EmotionTokenizer.fit(TRANSCRIPTS, pad_side=pad_side, truncation_side=truncation_side, max_length=3)
    assert tokenizer.encode_words("the cold") == short
    assert tokenizer.encode_words("the is cold lake") == long


def test_words_that_are_parted_already_are_taken_as_they_are():
    tokenizer = EmotionTokenizer.fit([["", "Well-made", "sp"], None, ["sp"]], read="words")
    assert list(tokenizer.get_vocab())[2:] == ["sp", "well-made"]
    assert tokenizer.encode_words(["", "sp", "WELL-MADE", "other"]) == [0, 2, 3, 1]


def test_a_special_word_in_the_text_is_an_ordinary_one():
    tokenizer = EmotionTokenizer.fit(TRANSCRIPTS)
    assert tokenizer.encode_words("<pad> cold <unk>") == [1, 2, 1]
    assert tokenizer("<pad> cold <unk>")["input_ids"] == [1, 2, 1]


def test_the_call_of_transformers_gives_the_same_ids_and_no_attention_mask():
    tokenizer = EmotionTokenizer.fit(TRANSCRIPTS)
    encoded = tokenizer(["the cold lake", "boat"], padding=True)
    assert encoded.data == {"input_ids": [[3, 2, 5], [8, 0, 0]]}
    assert tokenizer.decode([3, 2, 0], skip_special_tokens=True) == "the cold"


@pytest.mark.parametrize(
    "options", [{}, {"max_length": 4, "pad_side": "left", "truncation_side": "right"}, {"punctuation": True}]
)
def test_a_saved_tokenizer_comes_back_through_its_class_and_the_auto_class(tmp_path, options):
    tokenizer = EmotionTokenizer.fit(TRANSCRIPTS, **options)
    tokenizer.save_pretrained(tmp_path)
    for loader in (EmotionTokenizer, AutoTokenizer):
        loaded = loader.from_pretrained(tmp_path)
        assert type(loaded) is EmotionTokenizer
        assert loaded.get_vocab() == tokenizer.get_vocab()
        for text in ("", "the", "is the lake cold, really?"):
            assert loaded.encode_words(text) == tokenizer.encode_words(text)


@pytest.mark.parametrize(
    "content",
    [
        None,
        "not json",
        "[1, 2]",
        '{"<pad>": 0, "<unk>": 1}',
        '{"<pad>": 0, "<unk>": 1, "a": 3}',
        '{"a": 0, "<unk>": 1, "<pad>": 2}',
        '{"<pad>": 0, "<unk>": 1, "a": "2"}',
    ],
)
def test_a_lost_or_damaged_vocabulary_is_refused(tmp_path, content):
    EmotionTokenizer.fit(["a"]).save_pretrained(tmp_path)
    if content is None:
        (tmp_path / "vocab.json").unlink()
    else:
        (tmp_path / "vocab.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"vocab"):
        EmotionTokenizer.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "options",
    [{"pad_side": "up"}, {"truncation_side": ""}, {"max_length": 0}, {"max_length": 2.5}, {"max_words": True}],
)
def test_impossible_options_are_refused(options):
    with pytest.raises(FeatureError, match=next(iter(options))):
        EmotionTokenizer.fit(TRANSCRIPTS, **options)


def test_transcripts_without_words_are_refused():
    with pytest.raises(FeatureError, match="at least one word"):
        EmotionTokenizer.fit(["", None, "..."])


@pytest.mark.corpus
def test_word_counts_of_the_six_class_iemocap_transcripts():
    if "MM_EMOTION_DATA" not in os.environ:
        pytest.skip("MM_EMOTION_DATA is not set")
    path = Path(os.environ["MM_EMOTION_DATA"], "iemocap", "utterances.jsonl")
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    rows = [row for row in rows if row["emotion"] in {"hap", "sad", "neu", "ang", "exc", "fru"}]
    assert EmotionTokenizer.fit(row["text"] for row in rows).num_words == 3212
    assert EmotionTokenizer.fit(row["text"] for row in rows if row["session"] < 5).num_words == 2879
