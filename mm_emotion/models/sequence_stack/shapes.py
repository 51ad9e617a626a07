"""What each stage makes of a shape: checked before anything is built.

A shape is the sizes of one utterance: (D,) a vector, (T, D) a sequence, (Y, X, C) a picture; T is None where it varies.
"""

from collections.abc import Callable

from mm_emotion.errors import ConfigError
from mm_emotion.layers.convolution import convolved_size
from mm_emotion.models.sequence_stack import stage_table as table

Shape = tuple[int | None, ...]

_NAMES = {1: "a vector", 2: "a sequence", 3: "a picture"}


def infer_shapes(stages: list[table.Stage], input_shape: Shape) -> list[Shape]:
    """The shape in front of each stage, and behind the last one; word indices are (T,) in front of an embedding.

    Raises:
        ConfigError: a stage cannot follow what is in front of it; it names the stage and its field.
    """
    shapes = [input_shape]
    for index, stage in enumerate(stages):
        where = f"stages[{index}]"
        if isinstance(stage, table.Embedding) and index > 0:
            raise ConfigError(f"{where}.kind", "embedding as the first stage alone", "embedding")
        shapes.append(_AFTER[type(stage)](stage, shapes[-1], where))
    return shapes


def kernel_sizes(kernel_size: int | list[int]) -> list[int]:
    return kernel_size if isinstance(kernel_size, list) else [kernel_size]


def picture_kernel(kernel_size: int | list[int]) -> list[int]:
    """Rows and columns of a window; one number is a square."""
    return kernel_size if isinstance(kernel_size, list) else [kernel_size, kernel_size]


def describe(shape: Shape) -> str:
    """A shape as a reader would name it: a sequence (T, 34)."""
    return f"{_NAMES[len(shape)]} ({', '.join('T' if size is None else str(size) for size in shape)})"


def _require(shape: Shape, axes: tuple[int, ...], where: str) -> None:
    if len(shape) not in axes:
        expected = f"a stage for {describe(shape)}"
        wanted = " or ".join(_NAMES[count] for count in axes)
        raise ConfigError(f"{where}.kind", expected, f"one for {wanted}")


def _embedding(stage: table.Embedding, shape: Shape, where: str) -> Shape:
    return (*shape, stage.size)


def _expand(stage: table.Expand, shape: Shape, where: str) -> Shape:
    if stage.axis == "steps":
        _require(shape, (1,), where)
        return (1, *shape)
    _require(shape, (1, 2), where)
    return (*shape, 1)


def _columns(stage: table.Columns, shape: Shape, where: str) -> Shape:
    _require(shape, (1, 2), where)
    if stage.first + stage.count > shape[-1]:
        raise ConfigError(f"{where}.count", f"at most {shape[-1] - stage.first} from {stage.first} on", stage.count)
    return *shape[:-1], stage.count


def _conv1d(stage: table.Conv1d, shape: Shape, where: str) -> Shape:
    _require(shape, (2,), where)
    sizes = kernel_sizes(stage.kernel_size)
    if len(set(sizes)) > 1 and stage.padding != "same":
        raise ConfigError(f"{where}.padding", "'same' for several kernel sizes", repr(stage.padding))
    steps = shape[0]
    if steps is None:
        if stage.padding == "same" and stage.stride > 1:
            raise ConfigError(f"{where}.stride", "1 with padding 'same' where lengths vary", stage.stride)
    else:
        steps = convolved_size(steps, max(sizes), stage.stride, stage.padding)
        _require_windows(steps, shape, f"{where}.kernel_size", stage.kernel_size)
    return steps, stage.filters * len(sizes)


def _conv2d(stage: table.Conv2d, shape: Shape, where: str) -> Shape:
    _require(shape, (3,), where)
    if None in shape:
        raise ConfigError(f"{where}.kind", "a stage for lengths that vary", "conv2d", "set max_length")
    kernel = picture_kernel(stage.kernel_size)
    if len(kernel) != 2:
        raise ConfigError(f"{where}.kernel_size", "one size, or two for rows and columns", stage.kernel_size)
    sizes = [convolved_size(shape[axis], kernel[axis], stage.stride, stage.padding) for axis in (0, 1)]
    _require_windows(min(sizes), shape, f"{where}.kernel_size", stage.kernel_size)
    return *sizes, stage.filters


def _require_windows(windows: int, shape: Shape, where: str, size: object) -> None:
    if windows < 1:
        raise ConfigError(where, f"a window that fits in {describe(shape)}", size)


def _lstm(stage: table.LSTM, shape: Shape, where: str) -> Shape:
    _require(shape, (2,), where)
    size = stage.units * (1 + stage.bidirectional)
    return (shape[0], size) if stage.output == "steps" else (size,)


def _attention_decoder(stage: table.AttentionDecoder, shape: Shape, where: str) -> Shape:
    _require(shape, (2,), where)
    return shape[0], stage.output_size * (1 + stage.bidirectional)


def _pool(stage: table.Pool, shape: Shape, where: str) -> Shape:
    _require(shape, (2,), where)
    if stage.size is None:
        return shape[1:]
    steps = shape[0]
    if steps is not None:
        steps = steps // stage.size
        _require_windows(steps, shape, f"{where}.size", stage.size)
    return steps, shape[1]


def _flatten(stage: table.Flatten, shape: Shape, where: str) -> Shape:
    _require(shape, (2, 3), where)
    if shape[0] is None:
        raise ConfigError(f"{where}.kind", "a stage for lengths that vary", "flatten", "set max_length, or pool first")
    size = 1
    for axis in shape:
        size *= axis
    return (size,)


def _dense(stage: table.Dense, shape: Shape, where: str) -> Shape:
    _require(shape, (1, 2), where)
    return *shape[:-1], stage.units


def _dropout(stage: table.Dropout, shape: Shape, where: str) -> Shape:
    return shape


def _norm(stage: table.Norm, shape: Shape, where: str) -> Shape:
    _require(shape, (1, 2), where)
    return shape


_AFTER: dict[type, Callable[..., Shape]] = {
    table.Embedding: _embedding,
    table.Expand: _expand,
    table.Columns: _columns,
    table.Conv1d: _conv1d,
    table.Conv2d: _conv2d,
    table.LSTM: _lstm,
    table.AttentionDecoder: _attention_decoder,
    table.Pool: _pool,
    table.Flatten: _flatten,
    table.Dense: _dense,
    table.Dropout: _dropout,
    table.Norm: _norm,
}
