"""Recipes of the two papers that predict numbers: every printed row, its size, and two steps in small."""

from dataclasses import replace
from itertools import product

import pytest
import torch
from accelerate import Accelerator

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.training.loop import train
from mm_emotion.training.recipe import list_recipes, load_recipe
from mm_emotion.training.stages import build_model

from .test_utterance_networks import Utterances

DIMENSIONS = ("arousal", "valence", "liking")
SYSTEMS = ("svr_audio", "svr_visual", "svr_text", "svr_early", "svr_late", "dnn_early", "dnn_proposed")
NAMES = [
    name for name in list_recipes() if name.startswith(("ortega/", "williams/"))
]  # two steps of the latter: test_fused_networks
CCC = "concordance_correlation"


def published(dimension, system):
    return load_recipe(f"ortega/sewa_{dimension}_{system}").published


def test_every_printed_row_has_a_recipe():
    assert {f"ortega/sewa_{d}_{s}" for d, s in product(DIMENSIONS, SYSTEMS)} <= set(NAMES)
    subsets = ("audio", "visual", "text", "audio_visual", "text_audio", "text_visual", "text_audio_visual")
    expected = {f"williams/mosei_{kind}_{subset}" for kind, subset in product(("lstm", "blstm", "cnn"), subsets)}
    assert expected | {"williams/mosei_blstm_official"} == {name for name in NAMES if name.startswith("williams/")}
    assert all(load_recipe(name).published for name in NAMES)


def test_both_networks_of_continuous_affect_have_their_size():
    for dimension in DIMENSIONS:
        for system in ("dnn_early", "dnn_proposed"):
            recipe = load_recipe(f"ortega/sewa_{dimension}_{system}")
            with torch.device("meta"):
                count = build_model(recipe).num_parameters()
            widths = recipe.model["layers"].values()
            total = [sum(pair) for pair in zip(*widths, strict=True)]
            fusion = recipe.model["hidden_size"]
            early = 4521 * total[0] + total[0] + total[0] * total[1] + total[1] + total[1] * fusion + 2 * fusion + 1
            assert count == (early if system == "dnn_early" else recipe.published["parameters"])


def test_what_the_paper_claims_of_its_figures():
    """The gains in its text, from its own tables."""
    best = {
        (d, s): max(v for k, v in published(d, s).items() if k.startswith(CCC)) for d, s in product(DIMENSIONS, SYSTEMS)
    }
    assert best["arousal", "svr_early"] / best["arousal", "svr_visual"] - 1 == pytest.approx(0.23, abs=0.005)
    assert best["valence", "svr_early"] / best["valence", "svr_text"] - 1 == pytest.approx(0.32, abs=0.005)
    # "over the best single modality" holds against text; audio is better, and against it the gain is less
    assert best["valence", "svr_early"] / best["valence", "svr_audio"] - 1 == pytest.approx(0.27, abs=0.005)
    assert best["valence", "svr_early"] / best["valence", "dnn_early"] - 1 == pytest.approx(0.06, abs=0.005)
    assert best["liking", "dnn_early"] / best["liking", "svr_early"] - 1 == pytest.approx(0.26, abs=0.005)
    assert [best[d, "dnn_proposed"] for d in DIMENSIONS] == [0.606, 0.534, 0.170]


def shrunk(settings):
    """The same network with small sizes."""
    if isinstance(settings, list):
        return [shrunk(part) for part in settings]
    if not isinstance(settings, dict):
        return settings
    small = {"units": 3, "filters": 2, "hidden_size": 3}
    return {name: small.get(name, shrunk(value)) for name, value in settings.items()}


@pytest.mark.parametrize("name", [name for name in NAMES if "dnn" in name])
def test_two_steps(name, tmp_path):
    recipe = load_recipe(name)
    torch.manual_seed(0)
    model = build_model(replace(recipe, model=shrunk(recipe.model)))
    before = {key: value.clone() for key, value in model.named_parameters()}
    utterances = Utterances(model, 8)
    progress = train(
        model,
        utterances,
        {"validation": utterances},
        replace(recipe.training, epochs=1, batch_size=4),
        seed=0,
        folder=tmp_path,
        accelerator=Accelerator(cpu=True),
        collator=EmotionCollator(num_parties=2),
        progress_bar=False,
    )
    assert progress.epoch == 1
    assert any(
        key.endswith("classifier.bias") and not torch.equal(value, before[key])
        for key, value in model.named_parameters()
    )


def test_intensities_are_bounded_outside_of_training_alone():
    model = build_model(load_recipe("williams/mosei_cnn_visual"))
    with torch.no_grad():
        model.stack.classifier.bias.fill_(5.0)
        batch = {"visual": torch.randn(4, 1, 20, 35)}
        assert model.train()(**batch).logits.max() > 3
        assert model.eval()(**batch).logits.max() <= 3
