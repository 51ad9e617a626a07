"""Recipes: one complete YAML file per row of a published table, parsed to frozen dataclasses.

A recipe names a corpus and its split, the features, the model, the training and the protocol. Unknown keys and wrong
types are errors that name the field; `training.learning_rate=1e-3` on the command line goes through the same checker.
"""

import dataclasses
import math
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from mm_emotion.atomic import replace_file
from mm_emotion.errors import RecipeError, nearest
from mm_emotion.schema import AFFECT_DIMENSIONS, AFFECT_SETS, LABEL_SETS, MODALITIES
from mm_emotion.training.frames import Frames
from mm_emotion.training.naming import SAFE_PART, changed_name
from mm_emotion.training.parsing import apply_override, build, read_yaml

RECIPES_FOLDER = Path(__file__).resolve().parent.parent / "recipes"
CLASS_MONITORS = ("accuracy", "unweighted_accuracy", "weighted_f1")
AFFECT_MONITORS = ("mean_absolute_error", "concordance_correlation")
OPTIMIZER_OPTIONS = {"adam": ("eps",), "adamw": ("eps",), "adadelta": ("rho", "eps"), "sgd": ("momentum",)}
FITTED = ("late_fusion", "linear")
"""Model types that are fitted in one go, without epochs."""


@dataclass(frozen=True)
class Paper:
    """Where the row was printed."""

    title: str
    year: int | None
    row: str


@dataclass(frozen=True)
class Corpus:
    """Which utterances: corpus, named split, in IEMOCAP the kind of scenario.

    `labels` is a label set, one affect dimension, or a set of those. `names` are the class names of a label set that
    the data alone knows; they are filled in when those are opened.
    """

    name: str
    labels: str
    split: str
    scenario: Literal["all", "improvised", "scripted"] = "all"
    names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Encoder:
    """A stage-one recipe whose outputs become the features of one modality, behind the recipe's own of that modality.

    `training_features: out_of_fold` encodes each training dialogue by a network that has not seen it: `folds` networks
    are trained beside the one that encodes validation and test. Hidden units of several networks do not correspond, so
    that goes with `output: log_probabilities`.
    """

    recipe: str
    output: Literal["hidden_states", "log_probabilities"] = "hidden_states"
    training_features: Literal["in_fold", "out_of_fold"] = "in_fold"
    folds: int = 5


@dataclass(frozen=True)
class Training:
    """Optimisation; `batch_size` counts units over all processes, and the unit is a dialogue or a single utterance.

    With `crop`, a dialogue is every other time cut to a random stretch of at least that share of it. `monitor` chooses
    epochs; `patience` is how many may pass without gain. With `average_decay` the exponential moving average of the
    weights over the steps is what is judged and kept. The last layer of a pretrained encoder learns at
    `backbone_learning_rate` (the others' rate where left out), each layer below at `layer_decay` times the rate of the
    one above. `optimizer_options` are constants of the optimiser beside its learning rate, of those in
    OPTIMIZER_OPTIONS; those left out are torch's. `class_prior: train` divides the product of a late fusion by the
    shares of the classes among the training utterances. A model of `FITTED` has no epochs, batches and learning rate;
    there `monitor` chooses the weights of a late fusion and the complexity of a linear model.
    """

    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    unit: Literal["dialogue", "utterance"] = "dialogue"
    optimizer: Literal["adam", "adamw", "adadelta", "sgd"] = "adam"
    optimizer_options: dict[str, float] = field(default_factory=dict)
    weight_decay: float = 0.0
    backbone_learning_rate: float | None = None
    layer_decay: float | None = None
    class_weights: Literal["none", "inverse_frequency"] | list[float] = "none"
    class_prior: Literal["none", "train"] = "none"
    crop: float | None = None
    average_decay: float | None = None
    gradient_clip: float | None = None
    patience: int | None = None
    monitor: Literal[
        "loss", "accuracy", "unweighted_accuracy", "weighted_f1", "mean_absolute_error", "concordance_correlation"
    ] = "loss"
    mixed_precision: Literal["no", "bf16", "fp16"] = "no"


@dataclass(frozen=True)
class Protocol:
    """Which part chooses the epoch, over which seeds.

    `select_on: test` mirrors papers that chose on the test set; everything it produces is marked legacy (leaks).
    `record_test_selection` adds that choice beside the strict one in the same run.
    """

    select_on: Literal["validation", "test"] = "validation"
    record_test_selection: bool = False
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2, 3, 4])


@dataclass(frozen=True)
class Recipe:
    """A complete experiment; `name` is the path below the recipe folder without its suffix.

    `children` names the recipes whose systems a late fusion combines, in the order of its weights. `pretrained` maps a
    modality to the folder or Hub id whose weights its `pretrained_encoder` starts from, and whose tokenizer makes its
    words; stage-one recipes that have one take it from here. With `frames` the utterances are frames of a recording
    with one affect dimension each.
    """

    name: str
    corpus: Corpus
    model: dict[str, Any]
    training: Training
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    encoders: dict[str, Encoder] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)
    pretrained: dict[str, str] = field(default_factory=dict)
    protocol: Protocol = field(default_factory=Protocol)
    frames: Frames | None = None
    paper: Paper | None = None
    published: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Class names in label order, or the affect dimensions; () where the data have yet to say."""
        if self.is_regression:
            return AFFECT_SETS.get(self.corpus.name, {}).get(self.corpus.labels, (self.corpus.labels,))
        return tuple(self.corpus.names) or LABEL_SETS[self.corpus.name][self.corpus.labels]

    @property
    def is_regression(self) -> bool:
        name = self.corpus.name
        return self.corpus.labels in (*AFFECT_DIMENSIONS.get(name, ()), *AFFECT_SETS.get(name, ()))

    def published_value(self, metric: str) -> float | None:
        """The published figure on the scale of our metrics, which is not percent; None where none was printed."""
        value = self.published.get(metric)
        return value if value is None or self.is_regression else value / 100

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for YAML."""
        plain = dataclasses.asdict(self)
        if not self.corpus.names:
            del plain["corpus"]["names"]
        return plain


def list_recipes() -> list[str]:
    """Names of all recipes in the package, sorted."""
    return sorted(str(path.relative_to(RECIPES_FOLDER).with_suffix("")) for path in RECIPES_FOLDER.rglob("*.yaml"))


def load_recipe(name: str, overrides: typing.Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or file and apply `section.key=value` overrides, which its name then says.

    Raises RecipeError for an unknown name, key, type or value.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES_FOLDER / f"{name}.yaml"
    if not path.is_file():
        hint = nearest(name, list_recipes())
        raise RecipeError("recipe", "a name from `mm-emotion list` or a YAML file", repr(name), hint)
    label = path.stem if path.suffix and name.endswith((".yaml", ".yml")) else name
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {name!r}", "a text in UTF-8", error) from error
    recipe = parse_recipe(text, label, overrides)
    if not overrides:
        return recipe
    plain = parse_recipe(text, label)
    return dataclasses.replace(recipe, name=changed_name(plain.to_dict(), recipe.to_dict()))


def parse_recipe(text: str, name: str, overrides: typing.Sequence[str] = ()) -> Recipe:
    """Parse a recipe's YAML; a `name` inside the text wins over the argument."""
    data = read_yaml(f"recipe {name!r}", text)
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {name!r}", "a mapping of sections", type(data).__name__)
    data = {"name": name, **data}
    for override in overrides:
        apply_override(data, override)
    recipe = build(Recipe, data)
    _check(recipe)
    return recipe


def save_recipe(recipe: Recipe, path: Path, resolved: dict[str, Any] | None = None) -> None:
    """Write the recipe, and what the run resolved (class weights, split, versions), as YAML that loads again."""
    text = yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True, width=120)
    if resolved:
        lines = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=110).splitlines()
        text += "# resolved by the run\n" + "".join(f"#   {line}\n" for line in lines)
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _check(recipe: Recipe) -> None:
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


def check_seeds(where: str, seeds: typing.Sequence[int]) -> None:
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
