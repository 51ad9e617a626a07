"""The table of recipes says what each is, and can be narrowed."""

import json

import pytest

from mm_emotion.__main__ import main
from mm_emotion.errors import RecipeError
from mm_emotion.training.catalogue import entries, table
from mm_emotion.training.recipe import list_recipes


def test_every_recipe_is_listed_with_what_it_reads():
    found = {entry.recipe.name: entry for entry in entries()}
    assert sorted(found) == list_recipes()
    assert found["thesis/iemocap_text_cnn"].modalities == ("text",)
    assert all(entry.modalities for entry in found.values())


def test_narrowed_by_paper_and_by_modalities():
    assert {entry.paper for entry in entries("dialogue_rnn")} == {"dialogue_rnn"}
    both = entries(modalities=["text", "audio"])
    assert both and all({"text", "audio"} <= set(entry.modalities) for entry in both)


def test_causal_is_read_from_the_model():
    found = {entry.recipe.name: entry.is_causal for entry in entries("dialogue_rnn")}
    assert found["dialogue_rnn/iemocap_dialogue_rnn_text"]
    assert not found["dialogue_rnn/iemocap_bidialogue_rnn_att_text"]


def test_the_table_shows_published_figures():
    lines = table(entries("dialogue_rnn")).splitlines()
    (line,) = [line for line in lines if "bidialogue_rnn_att_text " in line]
    assert "weighted_f1 62.75" in line and " no " in line


@pytest.mark.parametrize(("paper", "modalities"), [("dialogue_rn", []), (None, ["texts"])])
def test_an_unknown_name_is_answered_with_the_nearest(paper, modalities):
    with pytest.raises(RecipeError, match="did you mean"):
        entries(paper, modalities)


def listed(capsys, *options) -> dict:
    assert main(["list", "--json", *options]) == 0
    return json.loads(capsys.readouterr().out)


def test_json_says_what_a_program_must_know_of_a_recipe(capsys):
    found = {recipe["name"]: recipe for recipe in listed(capsys, "--paper", "dialogue_rnn")["recipes"]}
    one = found["dialogue_rnn/iemocap_bidialogue_rnn_att_text"]
    assert (one["model_type"], one["modalities"], one["causal"]) == ("dialogue_rnn", ["text"], False)
    assert one["corpus"]["name"] == "iemocap" and one["corpus"]["split"]
    assert one["published"]["weighted_f1"] == 62.75 and one["paper"]["year"] == 2019
    assert one["parameters"] > 1_000_000
    assert found["dialogue_rnn/semaine_valence"]["task"] == "regression"
    assert found["dialogue_rnn/iemocap_dialogue_rnn_text"]["causal"]


def test_families_do_not_go_with_what_chooses_recipes(capsys):
    assert main(["list", "--families", "--paper", "thesis"]) != 0
    assert "--families" in capsys.readouterr().err
