"""Numbers of parameters: those that are printed, and those that follow from what is printed, hold exactly."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

from mm_emotion.training.recipe import list_recipes, load_recipe
from mm_emotion.training.stages import build_model

PUBLISHED = {name: load_recipe(name).published.get("parameters") for name in list_recipes()}
DERIVED = {
    "sebastian/iemocap_text_cnn": 250_498,
    "sebastian/iemocap_text_lstm": 249_734,
    "sebastian/iemocap_speech_lstm": 249_734,
    "sebastian/iemocap_speech_cnn": 1_591_558,
    "tripathi/iemocap_speech_model3_session5": 6_886_148,
}
"""Recipes whose paper prints sizes of layers and no sum."""


def trainable(model):
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("name", [name for name, count in PUBLISHED.items() if count] + list(DERIVED))
def test_trainable_parameters(name):
    recipe = load_recipe(name)
    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(**recipe.model))
    assert trainable(model) == (PUBLISHED[name] or DERIVED[name])
    with torch.device("meta"):
        assert trainable(build_model(recipe)) == trainable(model)


def test_every_stack_with_a_printed_figure_of_the_code_has_its_size():
    for name in list_recipes():
        recipe = load_recipe(name)
        if name.startswith("tripathi/") and recipe.model["model_type"] == "sequence_stack" and recipe.published:
            assert PUBLISHED[name], name
