"""Ids of a pretrained encoder's tokenizer, saved and loaded with the processor."""

import json
import shutil

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import AutoProcessor, PreTrainedTokenizerFast

from mm_emotion.errors import CheckpointError, FeatureError
from mm_emotion.features.processor import EmotionProcessor

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "lake", "is", "cold"]
ROWS = [{"transcript": "The lake"}, {"transcript": ""}, {"transcript": "the lake is very cold"}]


@pytest.fixture
def place(tmp_path):
    """A folder with a small tokenizer of transformers."""
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(tmp_path / "encoder")
    return tmp_path / "encoder"


def fitted(place, **options):
    return EmotionProcessor.fit(ROWS, {"input_ids": {"tokenizer": str(place), **options}})


def test_ids_are_those_of_the_tokenizer_cut_to_the_length(place):
    processor = fitted(place)
    assert processor.columns == processor.stored_columns == ("input_ids",)
    assert processor.utterance(ROWS[0])["input_ids"] == [2, 4, 5, 3]
    assert processor.utterance(ROWS[1])["input_ids"] == [2, 3]
    assert processor.utterance({"transcript": None})["input_ids"] is None
    assert fitted(place, max_length=4).utterance(ROWS[2])["input_ids"] == [2, 4, 5, 3]


def test_the_processor_brings_its_tokenizer_along(place, tmp_path):
    processor = fitted(place, max_length=5)
    processor.save_pretrained(tmp_path / "saved")
    shutil.rmtree(place)
    for name in ("saved", "twice"):
        loaded = AutoProcessor.from_pretrained(tmp_path / name)
        assert type(loaded) is EmotionProcessor
        batch, expected = loaded([dict(row) for row in ROWS]), processor([dict(row) for row in ROWS])
        assert batch["input_ids"].tolist() == expected["input_ids"].tolist()
        assert batch["text_mask"].sum(2).tolist() == [[4, 2, 5]]
        loaded.save_pretrained(tmp_path / "twice")


def test_a_lost_tokenizer_is_noticed(place, tmp_path):
    fitted(place).save_pretrained(tmp_path / "saved")
    (tmp_path / "saved" / "pretrained_tokenizer" / "tokenizer.json").write_text("{")
    with pytest.raises(CheckpointError, match="tokenizer"):
        AutoProcessor.from_pretrained(tmp_path / "saved")
    shutil.rmtree(tmp_path / "saved" / "pretrained_tokenizer")
    with pytest.raises(CheckpointError, match="tokenizer"):
        AutoProcessor.from_pretrained(tmp_path / "saved")


def test_a_place_without_a_tokenizer_is_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "nothing"}))
    with pytest.raises(CheckpointError, match="tokenizer"):
        fitted(tmp_path)


@pytest.mark.parametrize("options", [{"max_length": 2}, {"max_length": "long"}, {"max_words": 3}])
def test_impossible_options_are_refused(place, options):
    with pytest.raises(FeatureError, match="input_ids"):
        fitted(place, **options)
