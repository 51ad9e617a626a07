"""What the values of a recipe may be, beyond their types."""

import math
from collections.abc import Sequence

from mm_emotion.errors import RecipeError, nearest
from mm_emotion.schema import AFFECT_DIMENSIONS, AFFECT_SETS, LABEL_SETS, MODALITIES
from mm_emotion.training.naming import SAFE_PART
from mm_emotion.training.sections import FITTED, OPTIMIZER_OPTIONS, Corpus, Recipe

CLASS_MONITORS = ("accuracy", "unweighted_accuracy", "weighted_f1")
AFFECT_MONITORS = ("mean_absolute_error", "concordance_correlation")


def check_recipe(recipe: Recipe) -> None:
    """Raise RecipeError for the first value that cannot be, or does not go with another; it names the field."""
    if not all(SAFE_PART.fullmatch(part) for part in recipe.name.split("/")):
        raise RecipeError("name", "words with '/' between them, which make the folder of the runs", repr(recipe.name))
    _check_corpus(recipe.corpus)
    _check_model(recipe)
    _check_children(recipe)
    _check_training(recipe)
    _check_frames(recipe)
    for modality, encoder in recipe.encoders.items():
        if modality not in MODALITIES:
            hint = nearest(modality, MODALITIES)
            raise RecipeError(f"encoders.{modality}", f"a modality of {MODALITIES}", repr(modality), hint)
        if encoder.folds < 2:
            raise RecipeError(f"encoders.{modality}.folds", "at least 2", encoder.folds)
    for modality in recipe.pretrained:
        if modality not in ("text", "audio"):
            raise RecipeError(f"pretrained.{modality}", "text or audio", repr(modality))
    check_seeds("protocol.seeds", recipe.protocol.seeds)


def check_seeds(where: str, seeds: Sequence[int]) -> None:
    """Raise RecipeError naming `where` unless there are seeds and each is one that every random generator takes."""
    if not seeds:
        raise RecipeError(where, "at least one seed", "none")
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise RecipeError(where, "seeds from 0 to 2**32 - 1", seed)


def _check_corpus(corpus: Corpus) -> None:
    known = sorted({*LABEL_SETS, *AFFECT_DIMENSIONS})
    if corpus.name not in known:
        raise RecipeError("corpus.name", f"one of {known}", repr(corpus.name), nearest(corpus.name, known))
    labels = [name for table in (LABEL_SETS, AFFECT_DIMENSIONS, AFFECT_SETS) for name in table.get(corpus.name, ())]
    if corpus.labels not in labels:
        raise RecipeError("corpus.labels", f"one of {labels}", repr(corpus.labels), nearest(corpus.labels, labels))
    if corpus.names and LABEL_SETS.get(corpus.name, {}).get(corpus.labels) != ():
        raise RecipeError("corpus.names", f"nothing: {corpus.labels} has names of its own", corpus.names)
    if corpus.names and (len(set(corpus.names)) < max(2, len(corpus.names)) or not all(corpus.names)):
        raise RecipeError("corpus.names", "at least two names, each once", corpus.names)
    if corpus.scenario != "all" and corpus.name != "iemocap":
        raise RecipeError("corpus.scenario", "'all', as no corpus but iemocap has scenarios", repr(corpus.scenario))


def _check_model(recipe: Recipe) -> None:
    """What is read before the model's own configuration checks the rest."""
    kind = recipe.model.get("model_type")
    if not isinstance(kind, str):
        raise RecipeError("model.model_type", "a model type", "nothing" if kind is None else repr(kind))
    widths = recipe.model.get("modality_dims")
    if widths is not None and not isinstance(widths, dict):
        raise RecipeError("model.modality_dims", "a mapping of modality to width", repr(widths))
    for modality in widths or ():
        if modality not in MODALITIES:
            hint = nearest(modality, MODALITIES)
            raise RecipeError("model.modality_dims", f"modalities of {MODALITIES}", repr(modality), hint)
    count = len(recipe.label_names)
    if count and recipe.model.get("num_labels", count) != count:
        expected = f"{count} (labels {recipe.corpus.name}/{recipe.corpus.labels})"
        raise RecipeError("model.num_labels", expected, recipe.model["num_labels"])


def _check_children(recipe: Recipe) -> None:
    fuses = recipe.model["model_type"] == "late_fusion"
    if fuses != bool(recipe.children):
        expected = "recipes to fuse" if fuses else "none: only a late_fusion has children"
        raise RecipeError("children", expected, recipe.children or "none")
    if fuses and recipe.encoders:
        raise RecipeError("encoders", "none: the children of a late_fusion have their own", list(recipe.encoders))
    if recipe.training.class_prior != "none" and recipe.model.get("rule") != "product":
        given = f"{recipe.model['model_type']} of rule {recipe.model.get('rule')}"
        raise RecipeError("training.class_prior", "'none' but for a late_fusion of rule product", given)
    if recipe.training.class_prior != "none" and "class_prior" in recipe.model:
        raise RecipeError("training.class_prior", "'none' beside model.class_prior", repr(recipe.training.class_prior))
    if fuses and "children" in recipe.model:
        raise RecipeError("model.children", "nothing: they follow from the children's recipes", "a value")


def _check_training(recipe: Recipe) -> None:
    training = recipe.training
    fitted = recipe.model["model_type"] in FITTED
    steps = ("epochs", "batch_size", "learning_rate")
    for name in (*steps, "gradient_clip", "patience", "backbone_learning_rate"):
        value = getattr(training, name)
        if fitted and value is not None:
            raise RecipeError(f"training.{name}", f"nothing: a {recipe.model['model_type']} has no epochs", value)
        if not fitted and value is None and name in steps:
            raise RecipeError(f"training.{name}", "a value", "nothing")
        if value is not None and not 0 < value < math.inf:
            raise RecipeError(f"training.{name}", "a positive number", value)
    if fitted and recipe.protocol.record_test_selection:
        raise RecipeError("protocol.record_test_selection", "false: there is no epoch to choose", True)
    if not 0 <= training.weight_decay < math.inf:
        raise RecipeError("training.weight_decay", "a number of at least 0", training.weight_decay)
    for name, value in training.optimizer_options.items():
        known = OPTIMIZER_OPTIONS[training.optimizer]
        where = f"training.optimizer_options.{name}"
        if name not in known:
            raise RecipeError(where, f"one of {list(known)} for {training.optimizer}", repr(name), nearest(name, known))
        if not 0 <= value < 1:
            raise RecipeError(where, "a number of at least 0 and below 1", value)
    for name in ("crop", "average_decay"):
        value = getattr(training, name)
        if value is not None and not 0 < value < 1:
            raise RecipeError(f"training.{name}", "a share between 0 and 1", value)
    if training.layer_decay is not None and not 0 < training.layer_decay <= 1:
        raise RecipeError("training.layer_decay", "a share above 0, at most 1", training.layer_decay)
    if recipe.model.get("loss") == "ccc_per_recording" and training.unit != "dialogue":
        raise RecipeError("training.unit", "dialogue for the loss ccc_per_recording", repr(training.unit))
    monitors = ("loss", *(AFFECT_MONITORS if recipe.is_regression else CLASS_MONITORS))
    if training.monitor not in monitors:
        task = "an affect dimension" if recipe.is_regression else "classes"
        raise RecipeError("training.monitor", f"one of {list(monitors)} for {task}", repr(training.monitor))
    _check_class_weights(recipe)


def _check_frames(recipe: Recipe) -> None:
    if recipe.frames is None:
        return
    if not recipe.is_regression or len(recipe.label_names) != 1:
        raise RecipeError("frames", "nothing: they are for one affect dimension", recipe.corpus.labels)
    if recipe.encoders:
        raise RecipeError("encoders", "none beside frames", list(recipe.encoders))
    if recipe.protocol.record_test_selection:
        raise RecipeError("protocol.record_test_selection", "false beside frames", True)
    recipe.frames.check()


def _check_class_weights(recipe: Recipe) -> None:
    weights = recipe.training.class_weights
    if weights != "none" and recipe.is_regression:
        raise RecipeError("training.class_weights", "'none' for an affect dimension", repr(weights))
    if not isinstance(weights, list):
        return
    if recipe.label_names and len(weights) != len(recipe.label_names):
        raise RecipeError("training.class_weights", f"{len(recipe.label_names)} numbers", len(weights))
    if not all(0 <= weight < math.inf for weight in weights) or not any(weights):
        raise RecipeError("training.class_weights", "finite numbers of at least 0, not all 0", weights)
