"""The one base configuration: strict data that every family extends with its own fields."""

from collections.abc import Iterable
from dataclasses import fields
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from transformers import PreTrainedConfig

from mm_emotion.errors import ConfigError, nearest
from mm_emotion.schema import MODALITIES

# Keys that transformers itself writes into, or passes along with, a configuration besides its declared fields.
_HUB_KEYS = {
    *("model_type", "num_labels", "torch_dtype", "name_or_path", "_name_or_path", "_commit_hash"),
    *("auto_map", "custom_pipelines", "output_attentions"),
    *("attn_implementation", "_attn_implementation", "experts_implementation"),
}


def _fits(value: object, hint: Any) -> bool:
    """Whether `value` is of the annotated type; an int is a float, a bool is neither."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, option) for option in arguments)
    if origin is Literal:
        return isinstance(value, str) and value in arguments
    if origin is list:
        return isinstance(value, list) and all(_fits(item, arguments[0]) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _fits(key, arguments[0]) and _fits(item, arguments[1]) for key, item in value.items()
        )
    if hint in (int, float):
        return isinstance(value, (int, float) if hint is float else int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " | ".join(map(repr, get_args(hint)))
    if get_origin(hint) in (Union, UnionType):
        return " | ".join(_describe(option) for option in get_args(hint))
    if hint is NoneType:
        return "None"
    return hint.__name__ if isinstance(hint, type) and get_origin(hint) is None else str(hint).replace("typing.", "")


def check_type(field: str, value: object, hint: Any) -> None:
    """Refuse a value that is not of the annotated type; raises ConfigError naming the field."""
    if not _fits(value, hint):
        known = [option for option in get_args(hint) if isinstance(option, str)]
        known += [name for option in get_args(hint) if get_origin(option) is Literal for name in get_args(option)]
        raise ConfigError(field, _describe(hint), repr(value), nearest(str(value), known))


class EmotionConfig(PreTrainedConfig):
    """What all families share: input widths, sizes, dropout and the task; unknown keys and wrong types are refused.

    `modality_dims` maps a modality to its feature width and is always read in `schema.MODALITIES` order. `loss` left
    empty follows `problem_type` (`cross_entropy` or `mse`); `ccc` is 1 - CCC over a batch, `ccc_per_recording` the mean
    of that over dialogues, `ccc_avec2018` has that challenge's moments. `class_weights` holds one weight per label.
    `input_dropout` acts on the values of utterance vectors, `modality_dropout` on whole modalities. Weights start as in
    torch, or with `initialization: keras` as the papers that used Keras had them.

    Raises:
        ConfigError: an unknown key, a wrong type or an impossible value; it names the field.
    """

    modality_dims: dict[str, int] | None = None
    hidden_size: int = 100
    num_parties: int = 2
    dropout: float = 0.0
    input_dropout: float = 0.0
    modality_dropout: float = 0.0
    initialization: Literal["torch", "keras"] = "torch"
    loss: Literal["cross_entropy", "mse", "mae", "ccc", "ccc_per_recording", "ccc_avec2018"] | None = None
    class_weights: list[float] | None = None
    problem_type: Literal["single_label_classification", "regression"] | None = None

    def __setattr__(self, key: str, value: object) -> None:
        hint = self._own_hints().get(key)
        if hint is not None:
            check_type(key, value, hint)
        super().__setattr__(key, value)

    def __post_init__(self, **kwargs: Any) -> None:
        self._refuse_unknown(kwargs)
        if self.modality_dims is None:
            self.modality_dims = {}
        if self.problem_type is None:
            self.problem_type = "single_label_classification"
        if self.loss is None:
            self.loss = "cross_entropy" if self.problem_type == "single_label_classification" else "mse"
        kwargs["num_labels"] = self._check_labels(kwargs.pop("num_labels", None))
        super().__post_init__(**kwargs)
        if self.label2id is None:
            self.label2id = {name: index for index, name in self.id2label.items()}
        self.check()

    def check(self) -> None:
        """Refuse values that no model of this family can take; a family extends this."""
        for modality, width in self.modality_dims.items():
            if modality not in MODALITIES:
                hint = nearest(modality, list(MODALITIES))
                raise ConfigError(f"modality_dims[{modality!r}]", f"a modality of {MODALITIES}", repr(modality), hint)
            self.require_at_least(f"modality_dims[{modality!r}]", width, 1)
        self.require_at_least("hidden_size", self.hidden_size, 1)
        self.require_at_least("num_parties", self.num_parties, 1)
        self.require_probability("dropout", self.dropout)
        self.require_probability("input_dropout", self.input_dropout)
        self.require_probability("modality_dropout", self.modality_dropout)
        classification = self.problem_type == "single_label_classification"
        if classification != (self.loss == "cross_entropy"):
            raise ConfigError("loss", f"a loss for problem_type {self.problem_type!r}", repr(self.loss))
        if self.class_weights is not None:
            if not classification:
                raise ConfigError("class_weights", "None for a regression", self.class_weights)
            if len(self.class_weights) != self.num_labels:
                raise ConfigError("class_weights", f"{self.num_labels} weights", f"{len(self.class_weights)}")
            if not all(0 <= weight < float("inf") for weight in self.class_weights) or not any(self.class_weights):
                raise ConfigError("class_weights", "finite weights >= 0, not all 0", self.class_weights)

    @property
    def modalities(self) -> list[str]:
        """The modalities of `modality_dims` in `schema.MODALITIES` order."""
        return [modality for modality in MODALITIES if modality in self.modality_dims]

    @property
    def input_size(self) -> int:
        """Width of the modalities side by side."""
        return sum(self.modality_dims.values())

    @property
    def representation_size(self) -> int:
        """Width H of `hidden_states`, what the classifier reads."""
        return self.hidden_size

    @property
    def is_causal(self) -> bool:
        """Whether the output of an utterance never depends on a later one; an utterance model sees only its own."""
        return True

    def refuse(self, fields: Iterable[str], because: str) -> None:
        """Refuse base fields that this family has no use for."""
        for field in fields:
            if getattr(self, field):
                raise ConfigError(field, f"0: {because}", getattr(self, field))

    def require_modality(self) -> None:
        if not self.modality_dims:
            raise ConfigError("modality_dims", "at least one modality and its width", "none")

    @classmethod
    def require_at_least(cls, field: str, value: float, least: float) -> None:
        if not value >= least:
            raise ConfigError(field, f"at least {least}", repr(value))

    @classmethod
    def require_probability(cls, field: str, value: float) -> None:
        if not 0 <= value < 1:
            raise ConfigError(field, "a probability in [0, 1)", repr(value))

    @classmethod
    def _own_hints(cls) -> dict[str, Any]:
        """Types of the fields that this package declares, per class."""
        if "_hints" not in cls.__dict__:
            inherited = {field.name for field in fields(PreTrainedConfig)} - {"problem_type"}
            cls._hints = {field.name: field.type for field in fields(cls) if field.name not in inherited}
        return cls._hints

    def _refuse_unknown(self, given: dict[str, Any]) -> None:
        known = sorted({field.name for field in fields(self)} | _HUB_KEYS)
        for key in given:
            if key not in known:
                raise ConfigError(key, f"a field of {type(self).__name__}", "an unknown key", nearest(key, known))
        kind = given.pop("model_type", self.model_type)
        if kind != self.model_type:
            raise ConfigError("model_type", repr(self.model_type), repr(kind))

    def _check_labels(self, num_labels: object) -> int:
        """The number of labels, from `num_labels` or from the name maps, which must agree."""
        if num_labels is not None and not (_fits(num_labels, int) and num_labels >= 1):
            raise ConfigError("num_labels", "an int of at least 1", repr(num_labels))
        if self.id2label is None:
            num_labels = 2 if num_labels is None else num_labels
        else:
            names = {int(index): name for index, name in self.id2label.items()}
            if sorted(names) != list(range(len(names))) or len(set(names.values())) != len(names):
                raise ConfigError("id2label", "a distinct name for each of 0 .. K-1", self.id2label)
            if num_labels not in (None, len(names)):
                raise ConfigError("num_labels", f"{len(names)}, as many as id2label names", num_labels)
            if self.label2id is not None and {int(i): name for name, i in self.label2id.items()} != names:
                raise ConfigError("label2id", "the inverse of id2label", self.label2id)
            num_labels = len(names)
        if num_labels == 1 and self.problem_type == "single_label_classification":
            raise ConfigError("num_labels", "at least 2 for a classification", 1)
        return num_labels
