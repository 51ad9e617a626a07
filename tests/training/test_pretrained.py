"""Pretrained encoders in a training, on tiny random ones: from a recipe to a system that needs no other folder."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

from mm_emotion.data.splits import resolve_split
from mm_emotion.errors import CheckpointError, RecipeError
from mm_emotion.pipeline import load_system
from mm_emotion.training import building, pretrained, stages
from mm_emotion.training.loop import train
from mm_emotion.training.pretrained import features_of, parameter_groups, start_encoders, with_backbones
from mm_emotion.training.recipe import Training, list_recipes, load_recipe, parse_recipe
from mm_emotion.training.reproduction import run_seed
from mm_emotion.training.saved import evaluate_folder
from mm_emotion.training.stages import all_stages, build_model

from .conftest import WORDS

BERT = {
    **{"model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 12, "max_position_embeddings": 24},
}
CORPUS = "corpus: {name: iemocap, labels: six_way, split: session5_test}\n"
ENCODER = (
    CORPUS
    + """
pretrained: {text: PLACE}
model: {model_type: pretrained_encoder, num_labels: 6, normalize: true, freeze: all}
training: {unit: utterance, epochs: 1, batch_size: 8, learning_rate: 1.0e-3}
"""
)
TWO_STAGES = (
    CORPUS
    + """
features:
  text: {word_dimensions: 2, character_dimensions: 2, word_minimum: 1, character_minimum: 1}
encoders: {text: {recipe: ENCODER}}
model: {model_type: bc_lstm, num_labels: 6, modality_dims: {text: 12}, recurrent_size: 4, hidden_size: 5}
training: {epochs: 2, batch_size: 4, learning_rate: 1.0e-2}
"""
)
END_TO_END = (
    CORPUS
    + """
pretrained: {text: PLACE}
features: {input_ids: {max_length: 6}}
model:
  model_type: hierarchical
  num_labels: 6
  encoders:
    - {model_type: pretrained_encoder, previous_turns: 1}
  streams: [text]
  dialogue: {model_type: bc_lstm, num_labels: 6, modality_dims: {text: 8}, recurrent_size: 4, hidden_size: 5}
training: {epochs: 2, batch_size: 4, learning_rate: 1.0e-2, backbone_learning_rate: 1.0e-3, layer_decay: 0.5}
"""
)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a small encoder of transformers and its tokenizer, as `save_pretrained` leaves them."""
    folder = tmp_path_factory.mktemp("tiny-encoder")
    torch.manual_seed(0)
    AutoModel.from_config(AutoConfig.for_model(**BERT)).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "so", "well", "now"]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def rows(corpus):
    """The corpus with its published parts, and without the text vectors that the recipes make."""
    dialogues = list(dict.fromkeys(corpus["dialogue_id"]))
    parts = dict(zip(dialogues, ["train"] * 9 + ["validation"] * 3 + ["test"] * 3, strict=True))
    return corpus.remove_columns(["text", "split"]).add_column("split", [parts[name] for name in corpus["dialogue_id"]])


def run(recipe, rows, out):
    return run_seed(recipe, rows, resolve_split(rows, "session5_test"), seed=0, out=out, progress_bar=False)


def test_a_still_encoder_is_taken_as_it_is_and_saved_with_the_system(rows, place, tmp_path, monkeypatch):
    source = tmp_path / "source"
    shutil.copytree(place, source)
    (tmp_path / "encoder.yaml").write_text(ENCODER.replace("PLACE", str(source)))
    recipe = parse_recipe(TWO_STAGES.replace("ENCODER", str(tmp_path / "encoder.yaml")), "two")
    counted = []
    monkeypatch.setattr(stages, "train", lambda *args, **kwargs: counted.append(1) or train(*args, **kwargs))
    outcome = run(recipe, rows, tmp_path / "out")
    assert len(counted) == 1
    weights = AutoModel.from_pretrained(source).state_dict()
    shutil.rmtree(source)
    model, processor = load_system(outcome.model_folder)
    assert processor.columns == ("input_ids", "text")
    for name, value in model.encoders[0].backbone.state_dict().items():
        assert torch.equal(value, weights[name])
    found = evaluate_folder(outcome.model_folder, rows).prediction
    torch.testing.assert_close(
        torch.from_numpy(found.logits), torch.from_numpy(outcome.predictions["test"].logits), atol=1e-5, rtol=1e-4
    )
    assert f"pretrained text encoder: {source}" in outcome.notes
    batch = processor([{"text": "lake so", "speaker": "a"}, {"text": "well", "speaker": "b"}])
    assert model(**batch).logits.shape == (1, 2, 6)


def test_end_to_end_every_layer_learns_and_the_system_stands_alone(rows, place, tmp_path):
    source = tmp_path / "source"
    shutil.copytree(place, source)
    recipe = parse_recipe(END_TO_END.replace("PLACE", str(source)), "one")
    outcome = run(recipe, rows, tmp_path / "out")
    weights = AutoModel.from_pretrained(source).state_dict()
    shutil.rmtree(source)
    model, processor = load_system(outcome.model_folder)
    backbone = model.encoders[0].backbone.state_dict()
    moved = {name: (value - weights[name]).abs().max() for name, value in backbone.items() if name.endswith("weight")}
    assert all(moved.values())
    assert moved["encoder.layer.1.output.dense.weight"] > 1.5 * moved["encoder.layer.0.output.dense.weight"]
    found = evaluate_folder(outcome.model_folder, rows).prediction
    torch.testing.assert_close(
        torch.from_numpy(found.logits), torch.from_numpy(outcome.predictions["test"].logits), atol=1e-5, rtol=1e-4
    )
    assert model(**processor({"text": "lake so"})).logits.shape == (1, 1, 6)


def test_a_finished_run_is_taken_again_wherever_the_weights_lie_but_not_for_others(rows, place, tmp_path):
    source, other = tmp_path / "source", tmp_path / "other"
    shutil.copytree(place, source)
    recipe = parse_recipe(END_TO_END.replace("PLACE", str(source)), "one")
    first = run(recipe, rows, tmp_path / "out").predictions["test"].logits
    shutil.move(source, other)
    moved = parse_recipe(END_TO_END.replace("PLACE", str(other)), "one")
    state = tmp_path / "out" / "one" / "seed0" / "training_state.safetensors"
    before = state.stat().st_mtime_ns
    assert np.array_equal(run(moved, rows, tmp_path / "out").predictions["test"].logits, first)
    assert state.stat().st_mtime_ns == before
    torch.manual_seed(7)
    AutoModel.from_config(AutoConfig.for_model(**BERT)).save_pretrained(other)
    with pytest.raises(CheckpointError, match="training_state"):
        run(moved, rows, tmp_path / "out")


SOUND = (
    CORPUS
    + """
features: {audio: {feature: waveform}}
model: {model_type: pretrained_encoder, modality: audio, num_labels: 6, freeze: FREEZE, backbone: BACKBONE}
training: {unit: utterance, epochs: 1, batch_size: 8, learning_rate: 1.0e-3}
"""
)
WAV2VEC2 = {
    **{"model_type": "wav2vec2", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2},
    **{"intermediate_size": 12, "conv_dim": [6, 6], "conv_kernel": [20, 8], "conv_stride": [10, 8]},
    **{"num_conv_pos_embeddings": 4, "num_conv_pos_embedding_groups": 2},
}


@pytest.mark.parametrize("freeze", ["all", "none"])
def test_a_dialogue_model_reads_the_vectors_of_an_encoder_of_waveforms(rows, tmp_path, freeze):
    random = np.random.default_rng(0)
    paths = [str(tmp_path / f"{number}.wav") for number in range(len(rows))]
    for path in paths:
        soundfile.write(path, random.standard_normal(400) / 10, 16000)
    paths[-1] = ""
    whole = {"start": [0.0] * len(rows), "end": [0.02] * len(rows), "audio_path": paths}
    rows = rows.remove_columns(list(whole))
    for name, values in whole.items():
        rows = rows.add_column(name, values)
    encoder = SOUND.replace("FREEZE", freeze).replace("BACKBONE", json.dumps(WAV2VEC2))
    (tmp_path / "encoder.yaml").write_text(encoder)
    text = TWO_STAGES.replace("ENCODER", str(tmp_path / "encoder.yaml")).replace("{text: {recipe", "{audio: {recipe")
    recipe = parse_recipe(text, "two", ["features={}", "model.modality_dims={audio: 8}", "training.epochs=1"])
    outcome = run(recipe, rows, tmp_path / "out")
    found = evaluate_folder(outcome.model_folder, rows).prediction
    torch.testing.assert_close(
        torch.from_numpy(found.logits), torch.from_numpy(outcome.predictions["test"].logits), atol=1e-5, rtol=1e-4
    )


def test_what_a_still_encoder_makes_is_made_once(rows, place, tmp_path, monkeypatch):
    (tmp_path / "encoder.yaml").write_text(ENCODER.replace("PLACE", str(place)))
    recipe = parse_recipe(TWO_STAGES.replace("ENCODER", str(tmp_path / "encoder.yaml")), "two", ["training.epochs=1"])
    rows.to_parquet(tmp_path / "corpus.parquet")
    rows = type(rows).from_parquet(str(tmp_path / "corpus.parquet"), cache_dir=str(tmp_path / "cache"))
    counted, encode = [], stages._encode
    monkeypatch.setattr(stages, "_encode", lambda *args: counted.append(1) or encode(*args))
    logits = []
    for number in range(2):
        outcome = run(recipe, rows, tmp_path / str(number))
        logits.append(torch.from_numpy(outcome.predictions["test"].logits))
    assert len(counted) == 1
    assert torch.equal(*logits)
    changed = AutoModel.from_pretrained(place)
    with torch.no_grad():
        changed.embeddings.word_embeddings.weight.add_(0.1)
    shutil.copytree(place, tmp_path / "changed")
    changed.save_pretrained(tmp_path / "changed")
    other = replace(recipe, pretrained={"text": str(tmp_path / "changed")})
    run(other, rows, tmp_path / "other")
    assert len(counted) == 2


def test_layers_learn_the_slower_the_lower(place):
    recipe = parse_recipe(END_TO_END.replace("PLACE", str(place)), "one")
    model = build_model(recipe)
    names = {id(value): name for name, value in model.named_parameters()}
    groups = parameter_groups(model, recipe.training)
    rates = {names[id(value)]: group["lr"] for group in groups for value in group["params"]}
    assert rates.keys() == set(names.values())
    for name, rate in rates.items():
        expected = 1e-2
        if "backbone" in name:
            expected = 1e-3 if "layer.1." in name else 5e-4 if "layer.0." in name else 2.5e-4
        assert rate == pytest.approx(expected), name


def test_a_model_without_one_learns_in_one_group():
    model = build_model(load_recipe("ours/iemocap_text"))
    (group,) = parameter_groups(model, Training(learning_rate=0.1))
    assert group["lr"] == 0.1
    assert [id(value) for value in group["params"]] == [id(value) for value in model.parameters()]


def test_a_backbone_left_out_is_that_of_the_pretrained_model(place):
    model = build_model(parse_recipe(ENCODER.replace("PLACE", str(place)), "one"))
    assert model.config.backbone["hidden_size"] == 8
    with pytest.raises(RecipeError, match=r"pretrained\.text"):
        with_backbones({"model_type": "pretrained_encoder"}, {})
    with pytest.raises(CheckpointError, match="nowhere"):
        with_backbones({"model_type": "pretrained_encoder"}, {"text": str(place / "nowhere")})


def test_the_place_of_the_parent_goes_before_that_of_the_stage(place, tmp_path):
    (tmp_path / "encoder.yaml").write_text(ENCODER.replace("PLACE", "some/where"))
    text = TWO_STAGES.replace("ENCODER", str(tmp_path / "encoder.yaml"))
    stage, parent = all_stages(parse_recipe(text, "two", [f"pretrained.text={place}"]))
    assert stage.pretrained == parent.pretrained == {"text": str(place)}
    assert stage.name != "encoder"
    assert features_of(stage)["input_ids"] == {"tokenizer": str(place)}
    assert "input_ids" not in features_of(parent)


def test_what_cannot_be_pretrained_is_refused(place):
    text = END_TO_END.replace("PLACE", str(place))
    with pytest.raises(RecipeError, match=r"pretrained\.visual"):
        parse_recipe(text, "one", ["pretrained.visual=x"])
    sound = parse_recipe(text, "one", ["pretrained.audio=x"])
    with pytest.raises(RecipeError, match=r"pretrained\.audio"):
        start_encoders(build_model(sound), sound)
    rates = parse_recipe(TWO_STAGES, "two", ["training.layer_decay=0.9"])
    with pytest.raises(RecipeError, match=r"training\.layer_decay"):
        start_encoders(build_model(rates), rates)
    albert = {**BERT, "model_type": "albert", "embedding_size": 4}
    shared = parse_recipe(text.replace("previous_turns: 1", f"backbone: {json.dumps(albert)}"), "one")
    with pytest.raises(RecipeError, match=r"training\.layer_decay.*albert"):
        start_encoders(build_model(shared), shared)
    single = parse_recipe(text, "one", ["training.unit=utterance"])
    with pytest.raises(RecipeError, match=r"training\.unit"):
        start_encoders(build_model(single), single)


@pytest.mark.parametrize("override", ["layer_decay=0", "layer_decay=1.5", "backbone_learning_rate=0"])
def test_impossible_rates_are_refused(place, override):
    with pytest.raises(RecipeError, match=override.split("=")[0]):
        parse_recipe(END_TO_END.replace("PLACE", str(place)), "one", [f"training.{override}"])


def shrunk(settings):
    """The same model with a backbone as small as that of `place`."""
    if isinstance(settings, list):
        return [shrunk(part) for part in settings]
    if not isinstance(settings, dict):
        return settings
    small = {name: shrunk(value) for name, value in settings.items()}
    if "backbone" in settings:
        small |= {"backbone": BERT, "freeze": min(settings["freeze"], 1) if settings["freeze"] != "all" else "all"}
    return small


NAMES = [name for name in list_recipes() if any(stage.pretrained for stage in all_stages(load_recipe(name)))]


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_with_one_takes_steps_in_small(name, rows, place, tmp_path, monkeypatch):
    def small(name, overrides=()):
        recipe = load_recipe(name, overrides)
        model = shrunk(recipe.model)
        for part in pretrained._parts(model):
            if "num_labels" in part:
                part["num_labels"] = 6
            if "modality_dims" in part and "text" in part["modality_dims"]:
                part["modality_dims"]["text"] -= 384 - 8
        own = {"text": str(place)} if recipe.pretrained else {}
        training = replace(recipe.training, epochs=1)
        corpus_of = replace(recipe.corpus, name="iemocap", labels="six_way", split="session5_test")
        features = {key: dict(value) for key, value in recipe.features.items()}
        if "text" in features:
            features["text"] = {"word_dimensions": 2, "character_dimensions": 2, "word_minimum": 1}
            for part in pretrained._parts(model):
                if part.get("modality_dims", {}).get("text", 0) > 200:
                    part["modality_dims"]["text"] -= 196
                if "vectors" in part:
                    part["vectors"] = {"text": 4}
        return replace(recipe, model=model, pretrained=own, training=training, corpus=corpus_of, features=features)

    monkeypatch.setattr(building, "load_recipe", small)
    recipe = small(name)
    if "audio" in build_model(recipe).config.modalities:
        rows = rows.add_column("audio", [[0.1 * (i % 7), *[0.5] * 15] for i in range(len(rows))])
    outcome = run(recipe, rows, tmp_path)
    assert all(prediction.logits.shape[1] == 6 for prediction in outcome.predictions.values())
