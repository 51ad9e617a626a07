"""Every recipe of a fused system in full size on the meta device, and two steps of it in small."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from transformers import AutoConfig, AutoModel

from mm_emotion.__main__ import main
from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import load_prepared
from mm_emotion.data.splits import resolve_split
from mm_emotion.pipeline import load_system
from mm_emotion.training.loop import train
from mm_emotion.training.recipe import Recipe, list_recipes, load_recipe, save_recipe
from mm_emotion.training.reproduction import run_seed
from mm_emotion.training.stages import all_stages, build_model

from .test_utterance_networks import Utterances

TRAINED = ("joint", "early_fusion", "tfn", "mfn")
NAMES = [name for name in list_recipes() if load_recipe(name).model["model_type"] in (*TRAINED, "late_fusion")]
WIDTH = 20
SIZES = {
    **{
        "vocab_size": 30,
        "one_hot_words": 30,
        "embedding_size": 6,
        "max_length": 12,
        "key_size": 3,
        "feedforward_size": 4,
        "num_filters": 2,
    },
    **{"frames": 7, "height": 8, "width": 9, "hidden_size": 5, "units": 3, "filters": 2, "output_size": 3},
    **{"projection_size": WIDTH, "text_output_size": 3, "memory_size": 4, "attention_size": 3},
}
PARAMETERS = {
    "thesis/iemocap_joint_te_audio": 3_438_530,
    "thesis/iemocap_joint_te_audio_video": 531_433_302,
    "tripathi/iemocap_text_speech_discarded": 9_418_064,
    "tripathi/iemocap_text_speech_model1": 70_814_468,
    "tripathi/iemocap_text_speech_model2": 5_212_932,
    "tripathi/iemocap_text_speech_model3": 5_859_952,
    "tripathi/iemocap_text_speech_model3_session5": 5_859_952,
    "tripathi/iemocap_text_speech_mocap_model4": 7_579_184,
    "tripathi/iemocap_text_speech_mocap_model5": 6_973_296,
    "tripathi/iemocap_text_speech_mocap_model6": 7_441_200,
    "sebastian/iemocap_joint_cnn": 3_270_158,
}


def trainable(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def shrunk(settings):
    """The same network with small sizes, its parts included."""
    if isinstance(settings, list):
        return [shrunk(part) for part in settings]
    if not isinstance(settings, dict):
        return settings
    small = {name: SIZES.get(name, shrunk(value)) for name, value in settings.items()}
    for name, size in (("modality_dims", WIDTH), ("subnet_sizes", 4), ("recurrent_sizes", 3)):
        if name in settings:
            small[name] = dict.fromkeys(settings[name], size)
    if "stack" in settings and "projection_size" not in settings:  # the stack reads all modalities side by side
        joined = WIDTH * len(settings["modality_dims"]) + small.get("one_hot_words", 0)
        small["stack"]["modality_dims"] = {"audio": joined}
    return small


@pytest.mark.parametrize("name", PARAMETERS)
def test_published_number_of_parameters(name):
    with torch.device("meta"):
        model = build_model(load_recipe(name))
    assert trainable(model) == PARAMETERS[name]


def test_two_norm_layers_and_four_positions_less_have_the_same_size():
    """The other structure that fits the number printed for three modalities."""
    model = load_recipe("thesis/iemocap_joint_te_audio_video").model
    text, audio, video = model["children"]
    children = [{**text, "max_length": 103}, {**audio, "norm": "layer"}, video]
    with torch.device("meta"):
        other = AutoModel.from_config(AutoConfig.for_model(**{**model, "children": children, "joint_norm": True}))
    assert trainable(other) == 531_433_302


def test_no_joint_recipe_is_without_its_number_of_parameters():
    joint = {name for name in NAMES if load_recipe(name).model["model_type"] == "joint" and load_recipe(name).paper}
    assert joint - {name for name in joint if name.endswith("_slide")} <= PARAMETERS.keys()


def test_the_layout_of_the_slides_has_a_dense_layer_in_each_branch():
    for name, widths, scores in (("te_audio", [200, 200], 100), ("te_audio_video", [100, 100, 100], 300)):
        with torch.device("meta"):
            model = build_model(load_recipe(f"thesis/iemocap_joint_{name}_slide"))
        assert [branch.dense.out_features for branch in model.branches] == widths
        assert (model.dense.in_features, model.dense.out_features) == (sum(widths), scores)


@pytest.mark.parametrize("name", [name for name in NAMES if load_recipe(name).model["model_type"] in TRAINED])
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
    moved = [key for key, value in model.named_parameters() if not torch.equal(value, before[key])]
    assert any(key.endswith("classifier.bias") for key in moved)
    assert all(parameter.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("sebastian/iemocap_late_fusion")])
def test_late_fusion_from_words_and_sound_to_results(name, prepared, tmp_path):
    """All stages in small on the generated corpus, with made-up values for what openSMILE would measure."""
    rows = load_prepared(prepared, "six_way")
    values = np.random.default_rng(0).normal(size=(len(rows), WIDTH)).astype(np.float32)
    rows = rows.add_column("audio", values.tolist())
    recipe = load_recipe(name)
    recipe = replace(recipe, children=[str(saved(load_recipe(child), tmp_path)) for child in recipe.children])
    split = resolve_split(rows, recipe.corpus.split)
    outcome = run_seed(recipe, rows, split, seed=0, out=tmp_path / "runs", progress_bar=False)
    assert {row["selected_on"] for row in outcome.rows} == {"validation"}
    assert np.isfinite(outcome.predictions["test"].logits).all()
    stages = [stage.model["model_type"] for stage in all_stages(recipe)]
    assert stages == ["text_cnn", "sequence_stack", "text_cnn", "early_fusion", "late_fusion"]


def saved(recipe: Recipe, folder) -> object:
    """The recipe in small with its encoders, as a file."""
    encoders = {
        modality: replace(encoder, recipe=str(saved(load_recipe(encoder.recipe), folder)))
        for modality, encoder in recipe.encoders.items()
    }
    features = {"input_ids": {}} if "input_ids" in recipe.features else {}
    training = replace(recipe.training, epochs=1)
    model = shrunk(recipe.model)
    if model["model_type"] == "text_cnn":
        model |= {"hidden_size": WIDTH, "vocab_size": 1000}
    path = folder / f"{recipe.name.replace('/', '_')}.yaml"
    small = replace(recipe, model=model, encoders=encoders, features=features, training=training)
    save_recipe(replace(small, name=path.stem), path)
    return path


def test_the_demo_of_late_fusion_runs_from_the_command_line(prepared, tmp_path, capsys):
    words = ["train", "demo/miniature_late_fusion", "--data", str(prepared), "--out", str(tmp_path / "runs")]
    assert main(words) == 0
    model, _ = load_system(tmp_path / "runs/demo/miniature_late_fusion/seed0/model")
    assert [expert.config.model_type for expert in model.experts] == ["text_cnn", "linear"]
    assert sum(model.config.weights) == pytest.approx(1)
    printed = capsys.readouterr().out
    folder = str(tmp_path / "runs/demo/miniature_late_fusion/seed0/model")
    assert main(["evaluate", folder, "--data", str(prepared), "--out", str(tmp_path / "report")]) == 0
    accuracy = next(line for line in printed.splitlines() if "test accuracy" in line).split()[5]
    assert f"{float(accuracy):.3f}"[:4] in capsys.readouterr().out
