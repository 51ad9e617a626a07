"""From recipes to untrained networks: one model, the stages before it, and the system that they make up."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel

from mm_emotion.errors import RecipeError
from mm_emotion.models import MODELS
from mm_emotion.models.hierarchical.modeling_hierarchical import HierarchicalForEmotionRecognition
from mm_emotion.models.late_fusion.modeling_late_fusion import LateFusionForEmotionRecognition
from mm_emotion.training.pretrained import with_backbones
from mm_emotion.training.recipe import Encoder, Recipe, load_recipe


def build_model(recipe: Recipe, class_weights: Sequence[float] | None = None) -> torch.nn.Module:
    """The untrained model of a recipe, with the names of its labels; raises RecipeError for an unknown model type.

    That of a late fusion holds its children's systems.
    """
    names = recipe.label_names
    settings = {
        **with_backbones(recipe.model, recipe.pretrained),
        "id2label": dict(enumerate(names)),
        "label2id": {name: index for index, name in enumerate(names)},
        "problem_type": "regression" if recipe.is_regression else "single_label_classification",
    }
    settings.pop("num_labels", None)
    if class_weights is not None:
        settings["class_weights"] = [float(weight) for weight in class_weights]
    kinds = [config.model_type for config, _ in MODELS]
    kind = settings.pop("model_type")
    if kind not in kinds:
        raise RecipeError("model.model_type", f"one of {', '.join(kinds)}", repr(kind))
    if recipe.children:
        return LateFusionForEmotionRecognition.from_children(
            [untrained_system(child) for child in children_of(recipe)], **settings
        )
    return AutoModel.from_config(AutoConfig.for_model(kind, **settings))


def untrained_system(recipe: Recipe) -> torch.nn.Module:
    """The untrained system of a recipe: its model behind its encoders."""
    model = build_model(recipe)
    encoders = {modality: build_model(stage_one_recipe(item, recipe)) for modality, item in recipe.encoders.items()}
    own_widths = {}
    for modality, encoder in encoders.items():
        if modality in recipe.features:
            hidden = recipe.encoders[modality].output == "hidden_states"
            made = encoder.config.representation_size if hidden else encoder.config.num_labels
            own_widths[modality] = model.config.modality_dims[modality] - made
    return compose(recipe, model, encoders, own_widths)


def compose(
    recipe: Recipe, model: torch.nn.Module, encoders: Mapping[str, torch.nn.Module], own_widths: dict[str, int]
) -> torch.nn.Module:
    """One checkpoint for a two-stage system: encoders and dialogue model, with the widths of its own vectors."""
    if not encoders:
        return model
    outputs = [recipe.encoders[modality].output for modality in encoders]
    return HierarchicalForEmotionRecognition.from_children(model, list(encoders.items()), outputs, own_widths)


def stage_one_recipe(encoder: Encoder, parent: Recipe) -> Recipe:
    """The recipe of an encoder on its parent's corpus, labels and split, which both stages share."""
    return _on_corpus_of(parent, encoder.recipe)


def children_of(recipe: Recipe) -> list[Recipe]:
    """The recipes that a late fusion combines, on its own corpus, labels and split."""
    return [_on_corpus_of(recipe, name) for name in recipe.children]


def all_stages(recipe: Recipe) -> list[Recipe]:
    """Every recipe that a run of this one goes through, itself last."""
    before = [stage_one_recipe(encoder, recipe) for encoder in recipe.encoders.values()] + children_of(recipe)
    return [stage for earlier in before for stage in all_stages(earlier)] + [recipe]


def _on_corpus_of(parent: Recipe, name: str) -> Recipe:
    recipe = load_recipe(name)
    own = {modality: parent.pretrained.get(modality, place) for modality, place in recipe.pretrained.items()}
    if own != recipe.pretrained:
        marks = "-".join(Path(own[modality]).name for modality in own)
        recipe = replace(recipe, pretrained=own, name=f"{recipe.name}+{marks}")
    if recipe.corpus == parent.corpus:
        return recipe
    changed = replace(recipe, corpus=parent.corpus)
    if recipe.model.get("num_labels", len(changed.label_names)) != len(changed.label_names):
        expected = f"{len(changed.label_names)} labels, as {parent.corpus.labels} has"
        raise RecipeError(f"stage {recipe.name}", expected, recipe.model["num_labels"])
    scenario = "" if parent.corpus.scenario == "all" else f"-{parent.corpus.scenario}"
    name = f"{recipe.name}+{parent.corpus.labels}-{parent.corpus.split}{scenario}"
    return replace(changed, name=name)
