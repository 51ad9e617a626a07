"""Every family is described, and what is said of its fields is what its configuration does."""

import json

import pytest

from mm_emotion.__main__ import main
from mm_emotion.models import MODELS
from mm_emotion.training.families import families

FAMILIES = {family["model_type"]: family for family in families()}


def test_every_family_is_there_once():
    assert list(FAMILIES) == [config.model_type for config, _ in MODELS]


@pytest.mark.parametrize("config", [config for config, _ in MODELS], ids=lambda config: config.model_type)
def test_fields_are_those_that_the_configuration_takes(config):
    described = FAMILIES[config.model_type]
    assert described["summary"] and described["inputs"] and described["configuration"]
    names = list(described["fields"])
    assert "modality_dims" in names and "architectures" not in names
    own = [name for name in config.__annotations__ if name != "model_type"]
    assert set(own) <= set(names)
    for name in own:
        assert described["fields"][name]["default"] == getattr(config, name, None)


def test_types_are_in_words():
    fields = FAMILIES["bc_lstm"]["fields"]
    assert fields["bidirectional"] == {"type": "bool", "default": True}
    assert fields["initialization"]["type"] == "'torch' | 'keras'"
    assert fields["class_weights"] == {"type": "list[float] | None", "default": None}


def test_the_command_prints_them_as_text_and_as_json(capsys):
    assert main(["list", "--families", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["families"] == families()
    assert main(["list", "--families"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(MODELS)
