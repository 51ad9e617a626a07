"""The stages of a stack: their fields, defaults and limits, and the reading of a list of them."""

from dataclasses import MISSING, dataclass, fields
from typing import Any, Literal, get_type_hints

from mm_emotion.errors import ConfigError, nearest
from mm_emotion.layers.convolution import Activation, Padding
from mm_emotion.models.configuration_emotion import check_type


@dataclass(frozen=True)
class Embedding:
    """Word indices (T,) to vectors (T, `size`); not `trainable` for word vectors that stay as they were given."""

    vocab_size: int
    size: int
    trainable: bool = True


@dataclass(frozen=True)
class Expand:
    """A new axis of size 1: vector (D,) to one step (1, D) or D steps (D, 1); sequence (T, D) to picture (T, D, 1)."""

    axis: Literal["steps", "channels"]


@dataclass(frozen=True)
class Columns:
    """`count` values of a vector or of each step, from number `first` on; the others are not read."""

    first: int
    count: int


@dataclass(frozen=True)
class Conv1d:
    """Convolution of a sequence over time; of several kernel sizes the maps stand side by side."""

    filters: int
    kernel_size: int | list[int]
    stride: int = 1
    padding: Padding = "valid"
    activation: Activation = "linear"


@dataclass(frozen=True)
class Conv2d:
    """Convolution of a picture over rows and columns."""

    filters: int
    kernel_size: int | list[int]
    stride: int = 1
    padding: Padding = "valid"
    activation: Activation = "linear"


@dataclass(frozen=True)
class LSTM:
    """LSTM over time with one bias; its output at each step, or the `last` (with `bidirectional`: of each way)."""

    units: int
    output: Literal["steps", "last"] = "last"
    bidirectional: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0


@dataclass(frozen=True)
class AttentionDecoder:
    """A decoder with attention to all steps that emits a distribution over `output_size` at each."""

    units: int
    output_size: int
    bidirectional: bool = False


@dataclass(frozen=True)
class Pool:
    """Maximum or mean over windows of `size` steps, the rest dropped; over all steps where there is no size."""

    reduce: Literal["max", "mean"]
    size: int | None = None


@dataclass(frozen=True)
class Flatten:
    """A sequence or picture of known size to a vector, channels last."""


@dataclass(frozen=True)
class Dense:
    """Dense layer on a vector, or on each step of a sequence."""

    units: int
    activation: Activation = "linear"


@dataclass(frozen=True)
class Dropout:
    """Dropout of single values."""

    rate: float


@dataclass(frozen=True)
class Norm:
    """Layer or batch normalisation of a vector or of each step, and an activation behind it; epsilon as in Keras."""

    over: Literal["layer", "batch"]
    epsilon: float = 1e-3
    activation: Activation = "linear"


STAGES: dict[str, type] = {
    "embedding": Embedding,
    "expand": Expand,
    "columns": Columns,
    "conv1d": Conv1d,
    "conv2d": Conv2d,
    "lstm": LSTM,
    "attention_decoder": AttentionDecoder,
    "pool": Pool,
    "flatten": Flatten,
    "dense": Dense,
    "dropout": Dropout,
    "norm": Norm,
}
"""`kind` of a stage -> what else it says."""

Stage = (
    Embedding | Expand | Columns | Conv1d | Conv2d | LSTM | AttentionDecoder | Pool | Flatten | Dense | Dropout | Norm
)

_SHARES = ("dropout", "recurrent_dropout", "rate")
_SIZES = ("vocab_size", "size", "filters", "kernel_size", "stride", "units", "output_size", "count")


def read_stages(stages: list[dict[str, Any]]) -> list[Stage]:
    """Typed stages of plain data; raises ConfigError naming the number of the stage and its field."""
    return [_read_stage(f"stages[{index}]", stage) for index, stage in enumerate(stages)]


def _read_stage(where: str, stage: dict[str, Any]) -> Stage:
    kind = stage.get("kind")
    if not isinstance(kind, str) or kind not in STAGES:
        given, hint = ("nothing", "") if kind is None else (repr(kind), nearest(kind, STAGES))
        raise ConfigError(f"{where}.kind", f"one of {', '.join(STAGES)}", given, hint)
    known = {field.name: field for field in fields(STAGES[kind])}
    hints = get_type_hints(STAGES[kind])
    given = {name: value for name, value in stage.items() if name != "kind"}
    for name, value in given.items():
        if name not in known:
            expected = f"a field of {kind}: {', '.join(known) or 'none'}"
            raise ConfigError(f"{where}.{name}", expected, "an unknown key", nearest(name, known))
        check_type(f"{where}.{name}", value, hints[name])
        _check_range(f"{where}.{name}", name, value)
    for name, field in known.items():
        if field.default is MISSING and name not in given:
            raise ConfigError(f"{where}.{name}", f"a value, as {kind} needs", "nothing")
    return STAGES[kind](**given)


def _check_range(where: str, name: str, value: Any) -> None:
    if name in _SHARES:
        if not 0 <= value < 1:
            raise ConfigError(where, "a share in [0, 1)", repr(value))
    elif name == "epsilon":
        if not 0 < value < 1:
            raise ConfigError(where, "a number between 0 and 1", repr(value))
    elif name == "first":
        if value < 0:
            raise ConfigError(where, "at least 0", repr(value))
    elif name in _SIZES and value is not None:
        sizes = value if isinstance(value, list) else [value]
        if not sizes or min(sizes) < 1:
            raise ConfigError(where, "at least 1", repr(value))
