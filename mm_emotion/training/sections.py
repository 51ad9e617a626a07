"""The sections of a recipe as frozen dataclasses, and the recipe that they make up."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Literal

from mm_emotion.schema import AFFECT_DIMENSIONS, AFFECT_SETS, LABEL_SETS
from mm_emotion.training.frames import Frames

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
