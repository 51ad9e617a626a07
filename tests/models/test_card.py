"""The card of a model that pushes itself: true of every family, with lines of code that run as they stand."""

import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModel

from mm_emotion.hub.tiny import LABELS, tiny_configuration
from mm_emotion.models import MODELS
from mm_emotion.models.card import short_card


@pytest.mark.parametrize("family", [config for config, _ in MODELS], ids=lambda config: config.model_type)
def test_the_card_of_every_family_has_a_snippet_that_runs(family, tmp_path, capsys):
    model = AutoModel.from_config(tiny_configuration(family))
    model.save_pretrained(tmp_path)
    card = short_card(model, str(tmp_path), ["extra", "mm_emotion"])
    data = ModelCard(card).data
    assert data.library_name == "transformers" and data.license is None and data.model_name == tmp_path.name
    assert data.pipeline_tag in ("text-classification", "audio-classification", "video-classification")
    assert data.tags.count("mm_emotion") == 1 and {"extra", family.model_type} <= set(data.tags)
    assert ("not causal" in card) != model.config.is_causal
    assert f"{sum(weights.numel() for weights in model.parameters()):,} parameters" in " ".join(card.split())
    capsys.readouterr()
    with torch.no_grad():
        exec(card.partition("```python\n")[2].partition("```")[0], {})  # the card's own lines
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(any(name in line for name in model.config.id2label.values()) for line in lines)


def test_labels_are_named_and_ratings_are_rated():
    family = MODELS[0][0]
    config = tiny_configuration(family)
    assert f"Names one of {', '.join(LABELS)} for" in short_card(AutoModel.from_config(config), "org/name")
    config.problem_type, config.id2label = "regression", {0: "valence"}
    assert "Rates valence for" in short_card(AutoModel.from_config(config), "org/name")
