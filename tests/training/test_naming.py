"""A change is readable in a recipe's name wherever the name can be a folder's."""

import pytest

from mm_emotion.training.naming import SAFE_PART, changed_name

PLAIN = {
    "name": "paper/row",
    "corpus": {"split": "speaker_fold_1"},
    "model": {"modality_dims": {"text": 8}},
    "training": {"learning_rate": 0.001, "options": {}},
    "protocol": {"select_on": "validation", "seeds": [0, 1]},
}


def test_what_differs_is_said_in_the_order_of_its_keys():
    changed = {**PLAIN, "corpus": {"split": "speaker_fold_2"}, "model": {"modality_dims": {"text": 8, "audio": 3}}}
    assert changed_name(PLAIN, changed) == "paper/row corpus.split=speaker_fold_2 model.modality_dims.audio=3"


def test_what_fills_an_empty_section_is_said_alone():
    changed = {**PLAIN, "training": {"learning_rate": 0.001, "options": {"decay": 0.5}}}
    assert changed_name(PLAIN, changed) == "paper/row training.options.decay=0.5"


def test_neither_seeds_nor_a_name_are_a_change():
    seeds = {**PLAIN["protocol"], "seeds": [5]}
    assert changed_name(PLAIN, {**PLAIN, "protocol": seeds}) == "paper/row"
    assert changed_name(PLAIN, {**PLAIN, "name": "other"}) == "other"


@pytest.mark.parametrize("corpus", [{"split": "x" * 200}, {"split": ["a", "b"]}, {"split": "a\0"}, {"split": "b/a\0"}])
def test_a_change_that_is_no_folder_gets_a_mark(corpus):
    seeds = {**PLAIN["protocol"], "seeds": [5]}
    name = changed_name(PLAIN, {**PLAIN, "corpus": corpus})
    start, mark = name.split("+")
    assert (start, len(mark)) == ("paper/row", 8)
    assert name == changed_name(PLAIN, {**PLAIN, "corpus": corpus, "protocol": seeds})
    assert name != changed_name(PLAIN, {**PLAIN, "corpus": {"split": "c/d"}})
    assert SAFE_PART.fullmatch(name.split("/")[1])


@pytest.mark.parametrize("folder", ["models/minilm", "../minilm"])
def test_of_a_path_the_last_part_is_shown(folder):
    name = changed_name(PLAIN, {**PLAIN, "pretrained": {"text": folder}})
    shown, mark = name.split("+")
    assert (shown, len(mark)) == ("paper/row pretrained.text=minilm", 8)
    assert name != changed_name(PLAIN, {**PLAIN, "pretrained": {"text": "/other/minilm"}})
    assert SAFE_PART.fullmatch(name.removeprefix("paper/"))
