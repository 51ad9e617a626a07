"""A saved system answers for its folder, and encoding takes nobody else's folder."""

import pytest

from mm_emotion.data.corpus import load_prepared
from mm_emotion.errors import CheckpointError, CorpusError
from mm_emotion.training.saved import encode_folder, evaluate_folder, recipe_of


def test_a_folder_without_a_recipe_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"recipe\.yaml"):
        recipe_of(tmp_path)


def test_an_evaluation_knows_its_part(system, prepared):
    corpus = load_prepared(prepared)
    test, validation = (evaluate_folder(system, corpus, part) for part in ("test", "validation"))
    assert not set(test.prediction.dialogue_ids) & set(validation.prediction.dialogue_ids)
    assert test.facts.parameters == validation.facts.parameters


def test_encoding_takes_a_new_folder_or_its_own_earlier_result(system, prepared, tmp_path):
    corpus = load_prepared(prepared)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(CorpusError, match="a new folder"):
        encode_folder(system, corpus, "text", precious)
    with pytest.raises(CorpusError, match="a new folder"):
        encode_folder(system, corpus, "text", precious / "thesis.txt")
    assert (precious / "thesis.txt").read_text() == "years of work"
    for _ in range(2):
        encode_folder(system, corpus, "text", tmp_path / "encoded")
    assert len(load_prepared(tmp_path / "encoded")) == len(corpus)
