"""Every recipe of a dialogue system in full size on the meta device, and two steps of it in small."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.training.building import all_stages, build_model, untrained_system
from mm_emotion.training.loop import train
from mm_emotion.training.recipe import list_recipes, load_recipe

from .test_utterance_networks import Utterances

FAMILIES = ("bc_lstm", "clstm", "memnet", "cmn", "icon", "dialogue_rnn", "hierarchical")
NAMES = [name for name in list_recipes() if load_recipe(name).model["model_type"] in FAMILIES]
SMALL = {
    **{"global_size": 5, "party_size": 5, "emotion_size": 4, "recurrent_size": 5, "unimodal_size": 4, "window": 3},
    **{"units": 6, "hidden_size": 6, "vocab_size": 30, "embedding_size": 6, "num_filters": 2, "max_length": 12},
    "backbone": {
        **{"model_type": "bert", "vocab_size": 30, "hidden_size": 6, "num_hidden_layers": 4},
        **{"num_attention_heads": 2, "intermediate_size": 4},
    },
}
BIDIALOGUE_RNN_ATT = {100: 8_880_406, 200: 9_580_406, 300: 10_280_406}
"""Published numbers of parameters, by the width of what it reads."""


class Dialogues(Utterances):
    """Made-up dialogues of one to three utterances, by two parties, of what a model reads."""

    def __init__(self, model: torch.nn.Module, count: int):
        lengths = [1 + index % 3 for index in range(count)]
        super().__init__(model, sum(lengths))
        rows = iter(self.rows)
        self.rows = [[next(rows)[0] | {"party": turn % 2} for turn in range(length)] for length in lengths]
        self.dialogue_ids, self.lengths = self.dialogue_ids[:count], lengths


def shrunk(settings):
    """The same network with small sizes, its parts included."""
    if isinstance(settings, list):
        return [shrunk(part) for part in settings]
    if not isinstance(settings, dict):
        return settings
    small = {name: SMALL.get(name, shrunk(value)) for name, value in settings.items()}
    if "modality_dims" in settings:
        small["modality_dims"] = dict.fromkeys(settings["modality_dims"], 6)
    if "streams" in settings:
        small["vectors"] = dict.fromkeys(settings.get("vectors", ()), 6)
        widths = Counter([*settings["streams"], *small["vectors"]])
        small["dialogue"]["modality_dims"] = {stream: 6 * count for stream, count in widths.items()}
    return small


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_system_builds_in_full_size(name):
    recipe = load_recipe(name)
    with torch.device("meta"):
        model, system = build_model(recipe), untrained_system(recipe)
    made = {column for stage in all_stages(recipe) for column in stage.features}
    assert made <= system.input_shapes().keys()
    assert system.config.is_causal == model.config.is_causal


@pytest.mark.parametrize("name", NAMES)
def test_two_steps(name, tmp_path):
    recipe = load_recipe(name)
    torch.manual_seed(0)
    model = build_model(replace(recipe, model=shrunk(recipe.model)))
    before = {key: value.clone() for key, value in model.named_parameters()}
    dialogues = Dialogues(model, 4)
    progress = train(
        model,
        dialogues,
        {"validation": dialogues},
        replace(recipe.training, epochs=1, batch_size=2),
        seed=0,
        folder=tmp_path,
        accelerator=Accelerator(cpu=True),
        collator=EmotionCollator(num_parties=2),
        progress_bar=False,
    )
    assert progress.epoch == 1
    assert all(parameter.isfinite().all() for parameter in model.parameters())
    assert any(not torch.equal(value, before[key]) for key, value in model.named_parameters() if "classifier" in key)


def test_the_context_rows_of_the_thesis_are_thirteen_of_the_published_sizes():
    names = [name for name in NAMES if name.startswith("thesis/iemocap_context_")]
    assert len(names) == 13
    for name in names:
        recipe = load_recipe(name)
        with torch.device("meta"):
            model = build_model(recipe)
        assert model.num_parameters() == BIDIALOGUE_RNN_ATT[model.config.input_size]
    twice = [name for name in names if load_recipe(name).paper.row.endswith("of the benchmark")]
    assert len(twice) == 3


def test_text_and_prosody_systems_differ_from_those_on_text_by_their_inputs_alone():
    names = [name for name in NAMES if name.endswith("_text_prosody") and "minilm" not in name]
    assert len(names) == 10
    by_row = {
        name.split("/iemocap_")[1]: load_recipe(name)
        for name in NAMES
        if "/iemocap_" in name and not name.startswith(("ours/", "thesis/"))
    }
    for name in names:
        both = load_recipe(name)
        text = by_row[name.split("/iemocap_")[1].removesuffix("_prosody")]
        assert both.model == {**text.model, "modality_dims": {"text": 100, "audio": 16}}
        assert both.encoders["text"] == text.encoders["text"]
        assert (both.training, both.protocol, both.corpus) == (text.training, text.protocol, text.corpus)
