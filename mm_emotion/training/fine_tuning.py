"""Going on from a saved system on other data: its features and weights, a new classifier where the labels differ."""

import re
from dataclasses import replace
from typing import Any

import torch
from datasets import Dataset

from mm_emotion.data.rows import column_values
from mm_emotion.errors import CheckpointError, CorpusError, FeatureError, RecipeError
from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.models.children import child_config
from mm_emotion.models.configuration_emotion import EmotionConfig
from mm_emotion.models.hierarchical.configuration_hierarchical import HierarchicalConfig
from mm_emotion.models.modeling_emotion import EmotionPreTrainedModel
from mm_emotion.schema import SPLITS
from mm_emotion.training.building import all_stages
from mm_emotion.training.recipe import FITTED, Corpus, Recipe

MEDIA = {"input_ids": "transcript", "text": "transcript", "audio": "audio_path", "visual": "video_path"}
"""Feature column -> column of a table that it is made from."""

_HEAD = re.compile(r"(dialogue\.|stack\.)*classifier\.")


def check_trainable(saved: Recipe) -> None:
    """Raise RecipeError for a late fusion, a system of frames, or one that is not trained in epochs."""
    if saved.children or saved.frames or saved.model["model_type"] in FITTED:
        expected = "a system that is trained in epochs, no late fusion, no frames"
        raise RecipeError("--from", expected, f"one of {saved.name}")


def recipe_on_table(saved: Recipe, config: EmotionConfig, rows: Dataset, name: str) -> Recipe:
    """The recipe of a saved system of this configuration, turned to the labels of a prepared table, as recipe `name`.

    The split is the table's own where it has train and test, else the first of five folds. The names stay in the
    system's order where they are the same. A system of two stages becomes one network whose encoders are frozen, as
    they were when its dialogue model learnt. Raises RecipeError for a system that is not trained in epochs, CorpusError
    where the one is a regression and the other is not.
    """
    check_trainable(saved)
    numbers = "affect" in rows.column_names
    if numbers != saved.is_regression:
        kinds = ("classes", "numbers")
        raise CorpusError("label column", f"{kinds[saved.is_regression]}, as the system gives", kinds[numbers])
    published = {SPLITS[0], SPLITS[-1]} <= set(rows["split"])
    names = [] if numbers else list(rows.features["label"].names)
    if sorted(names) == sorted(saved.label_names):
        names = list(saved.label_names)
    corpus = Corpus("table", "affect" if numbers else "own", "published" if published else "five_fold_1", names=names)
    model = {key: value for key, value in saved.model.items() if key != "num_labels"}
    if saved.encoders:
        model = _end_to_end(config)
    weights = saved.training.class_weights
    training = replace(saved.training, class_weights="none" if isinstance(weights, list) else weights)
    protocol = replace(saved.protocol, select_on="validation", record_test_selection=False)
    return replace(
        saved,
        name=name,
        corpus=corpus,
        features={column: options for stage in all_stages(saved) for column, options in stage.features.items()},
        encoders={},
        model=model,
        training=training,
        protocol=protocol,
        paper=None,
        published={},
        note=f"Fine-tuned from {saved.name}.",
    )


def _end_to_end(config: HierarchicalConfig) -> dict[str, Any]:
    """The model section of a system of two stages as one network."""
    encoders = [
        _fields(child) | ({} if output == "hidden_states" else {"id2label": child["id2label"]})
        for child, output in zip(config.encoders, config.outputs, strict=True)
    ]
    return {
        "model_type": config.model_type,
        "encoders": encoders,
        "streams": config.streams,
        "outputs": config.outputs,
        "vectors": config.vectors,
        "dialogue": {key: value for key, value in _fields(config.dialogue).items() if key != "class_weights"},
        "freeze_encoders": True,
    }


def _fields(child: dict[str, Any]) -> dict[str, Any]:
    """What a family's own fields say of a part, without its labels."""
    config = child_config("part", child)
    return {"model_type": config.model_type} | {name: getattr(config, name) for name in sorted(config.own_hints())}


def head_line(saved: Recipe, recipe: Recipe) -> str:
    """One line that says what becomes of the classifier."""
    if recipe.label_names == saved.label_names or recipe.is_regression:
        return f"classifier kept: {', '.join(recipe.label_names)}"
    names = ", ".join(recipe.label_names)
    return (
        f"new classifier for {len(recipe.label_names)} labels: {names} (the system had {', '.join(saved.label_names)})"
    )


def check_readable(model: EmotionPreTrainedModel, processor: EmotionProcessor, rows: Dataset) -> None:
    """Raise FeatureError where `rows` lack what the model reads altogether, or have it in another width."""
    for column, shape in model.input_shapes().items():
        if column in processor.columns:
            source = MEDIA.get(column)
            if (
                source is not None
                and not any(rows[source])
                and not (source == "audio_path" and any(rows["video_path"]))
            ):
                raise FeatureError(source, f"a value in some row: the system reads {column}", "none in any row")
            continue
        if column not in rows.column_names:
            hint = "features that were computed beforehand must be in the data, as they were in those it learnt from"
            raise FeatureError(f"column {column!r}", "to be in the data: the system reads it", "no such column", hint)
        width = next((value.shape[-1] for value in column_values(rows, column) if value is not None), None)
        if shape[-1] not in (None, width):
            raise FeatureError(f"column {column!r}", f"{shape[-1]} values, as the system reads", width)


def start_from_model(model: torch.nn.Module, start: EmotionPreTrainedModel) -> None:
    """Copy the weights of `start` into `model` in place; a classifier for other labels keeps its fresh weights.

    That of a dialogue model or a stack within is meant as well. Raises CheckpointError where anything else differs.
    """
    given, kept = start.state_dict(), model.state_dict()
    same = start.config.id2label == model.config.id2label
    head = () if same else tuple(name for name in kept if _HEAD.match(name))
    for name in kept.keys() | given.keys():
        if name in head:
            continue
        shapes = [tuple(state[name].shape) if name in state else "nothing" for state in (kept, given)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(f"weights {name} to start from", shapes[0], shapes[1])
    model.load_state_dict({name: kept[name] if name in head else given[name] for name in kept})
