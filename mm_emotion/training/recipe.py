"""Recipes: one complete YAML file per row of a published table, parsed to frozen dataclasses.

A recipe names a corpus and its split, the features, the model, the training and the protocol. Unknown keys and wrong
types are errors that name the field; `training.learning_rate=1e-3` on the command line goes through the same checker.
"""

import dataclasses
import difflib
import re
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from mm_emotion.atomic import replace_file
from mm_emotion.errors import RecipeError
from mm_emotion.schema import AFFECT_DIMENSIONS, LABEL_SETS

RECIPES_FOLDER = Path(__file__).resolve().parent.parent / "recipes"


@dataclass(frozen=True)
class Paper:
    """Where the row was printed."""

    title: str
    year: int | None
    row: str


@dataclass(frozen=True)
class Corpus:
    """Which utterances: corpus, label set (or one affect dimension) and named split."""

    name: str
    labels: str
    split: str


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
    epochs; `patience` is how many may pass without gain.
    """

    epochs: int
    batch_size: int
    learning_rate: float
    unit: Literal["dialogue", "utterance"] = "dialogue"
    optimizer: Literal["adam", "adamw", "adadelta", "sgd"] = "adam"
    weight_decay: float = 0.0
    class_weights: Literal["none", "inverse_frequency"] | list[float] = "none"
    crop: float | None = None
    gradient_clip: float | None = None
    patience: int | None = None
    monitor: Literal["loss", "accuracy", "unweighted_accuracy", "weighted_f1", "mean_absolute_error"] = "loss"
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
    """A complete experiment; `name` is the path below the recipe folder without its suffix."""

    name: str
    corpus: Corpus
    model: dict[str, Any]
    training: Training
    features: dict[str, dict[str, Any]] = field(default_factory=dict)
    encoders: dict[str, Encoder] = field(default_factory=dict)
    protocol: Protocol = field(default_factory=Protocol)
    paper: Paper | None = None
    published: dict[str, float] = field(default_factory=dict)
    note: str = ""

    @property
    def label_names(self) -> tuple[str, ...]:
        """Class names in label order, or the one affect dimension."""
        if self.is_regression:
            return (self.corpus.labels,)
        return LABEL_SETS[self.corpus.name][self.corpus.labels]

    @property
    def is_regression(self) -> bool:
        return self.corpus.labels in AFFECT_DIMENSIONS.get(self.corpus.name, ())

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for YAML."""
        return dataclasses.asdict(self)


def list_recipes() -> list[str]:
    """Names of all recipes in the package, sorted."""
    return sorted(str(path.relative_to(RECIPES_FOLDER).with_suffix("")) for path in RECIPES_FOLDER.rglob("*.yaml"))


def load_recipe(name: str, overrides: typing.Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or file and apply `section.key=value` overrides.

    Raises RecipeError for an unknown name, key, type or value.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES_FOLDER / f"{name}.yaml"
    if not path.is_file():
        raise RecipeError(
            f"recipe {name!r}", "a name from `mm-emotion list` or a YAML file", *_nearest(name, list_recipes())
        )
    label = path.stem if path.suffix and name.endswith((".yaml", ".yml")) else name
    return parse_recipe(path.read_text(encoding="utf-8"), label, overrides)


def parse_recipe(text: str, name: str, overrides: typing.Sequence[str] = ()) -> Recipe:
    """Parse a recipe's YAML; a `name` inside the text wins over the argument."""
    try:
        data = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader subclass
    except yaml.YAMLError as error:
        raise RecipeError(f"recipe {name!r}", "valid YAML", str(error).replace("\n", " ")) from error
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {name!r}", "a mapping of sections", type(data).__name__)
    data = {"name": name, **data}
    for override in overrides:
        _apply_override(data, override)
    recipe = _build(Recipe, data, "")
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


class _Loader(yaml.SafeLoader):
    """YAML whose floats may be written 1e-4 as well as 1.0e-4, and whose repeated keys are errors."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)$"),
    list("-+0123456789."),
)


def _apply_override(data: dict, override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise RecipeError(f"override {override!r}", "section.key=value", "no '='" if not separator else "no key")
    *sections, last = key.split(".")
    for section in sections:
        data = data.setdefault(section, {})
        if not isinstance(data, dict):
            raise RecipeError(f"override {override!r}", f"{section} to be a section", repr(data))
    data[last] = yaml.load(value, Loader=_Loader)  # noqa: S506 - a SafeLoader subclass


def _check(recipe: Recipe) -> None:
    corpus = recipe.corpus
    known = sorted({*LABEL_SETS, *AFFECT_DIMENSIONS})
    if corpus.name not in known:
        raise RecipeError("corpus.name", f"one of {known}", *_nearest(corpus.name, known))
    labels = [*LABEL_SETS.get(corpus.name, ()), *AFFECT_DIMENSIONS.get(corpus.name, ())]
    if corpus.labels not in labels:
        raise RecipeError("corpus.labels", f"one of {labels}", *_nearest(corpus.labels, labels))
    if "model_type" not in recipe.model:
        raise RecipeError("model.model_type", "a model type", "nothing")
    if recipe.model.get("num_labels", len(recipe.label_names)) != len(recipe.label_names):
        expected = f"{len(recipe.label_names)} (labels {corpus.name}/{corpus.labels})"
        raise RecipeError("model.num_labels", expected, recipe.model["num_labels"])
    if isinstance(recipe.training.class_weights, list) and len(recipe.training.class_weights) != len(
        recipe.label_names
    ):
        raise RecipeError(
            "training.class_weights", f"{len(recipe.label_names)} numbers", len(recipe.training.class_weights)
        )
    for name in ("epochs", "batch_size", "learning_rate"):
        if getattr(recipe.training, name) <= 0:
            raise RecipeError(f"training.{name}", "a positive number", getattr(recipe.training, name))
    if recipe.training.crop is not None and not 0 < recipe.training.crop < 1:
        raise RecipeError("training.crop", "a share between 0 and 1", recipe.training.crop)
    if not recipe.protocol.seeds:
        raise RecipeError("protocol.seeds", "at least one seed", "none")


def _nearest(given: str, known: typing.Iterable[str]) -> tuple[str, str]:
    """What was given, and a hint with the closest known name."""
    close = difflib.get_close_matches(str(given), list(known), n=1)
    return repr(given), f"did you mean {close[0]!r}?" if close else ""


def _build(kind: Any, value: Any, where: str) -> Any:
    """Turn plain data into `kind`, a dataclass or a plain type, or raise RecipeError naming the field `where`."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, dict):
            raise RecipeError(where, f"a mapping for {kind.__name__}", repr(value))
        fields = {entry.name: entry for entry in dataclasses.fields(kind)}
        hints = typing.get_type_hints(kind)
        prefix = f"{where}." if where else ""
        for key in value:
            if key not in fields:
                raise RecipeError(f"{prefix}{key}", f"one of {sorted(fields)}", *_nearest(key, fields))
        for name, entry in fields.items():
            required = entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING
            if required and name not in value:
                raise RecipeError(f"{prefix}{name}", "a value", "nothing")
        return kind(**{key: _build(hints[key], item, f"{prefix}{key}") for key, item in value.items()})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _build_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments or isinstance(value, bool):
            raise RecipeError(where, f"one of {list(arguments)}", *_nearest(value, map(str, arguments)))
        return value
    if origin is list:
        if not isinstance(value, list):
            raise RecipeError(where, "a list", repr(value))
        return [_build(arguments[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict:
        if not isinstance(value, dict):
            raise RecipeError(where, "a mapping", repr(value))
        return {str(key): _build(arguments[1], item, f"{where}.{key}") for key, item in value.items()}
    if kind is Any:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise RecipeError(where, f"a value of type {kind.__name__}", repr(value))
    return value


def _build_union(kinds: tuple, value: Any, where: str) -> Any:
    errors = []
    for kind in kinds:
        if kind is type(None):
            if value is None:
                return None
            continue
        try:
            return _build(kind, value, where)
        except RecipeError as error:
            errors.append(error)
    raise (
        errors[0] if len(errors) == 1 else RecipeError(where, " or ".join(str(e.expected) for e in errors), repr(value))
    )
