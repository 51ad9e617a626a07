"""Configuration of a stack of stages: the sequential networks of the papers as data."""

from typing import Any, Literal

from mm_emotion.errors import ConfigError
from mm_emotion.models.configuration_emotion import EmotionConfig
from mm_emotion.models.sequence_stack import stage_table as table
from mm_emotion.models.sequence_stack.shapes import Shape, describe, infer_shapes


class SequenceStackConfig(EmotionConfig):
    """`stages`, one after the other, from one input of an utterance to the vector that the classifier reads.

    A stage is `{kind: lstm, units: 128}`; `stage_table.STAGES` lists the kinds and their fields. The input is word
    indices where the first stage is an embedding, else the one modality of `modality_dims`, read as a `sequence` of
    steps or as one `vector`. `max_length` fixes the number of steps, which flatten and conv2d need; without it lengths
    vary. With `mask_padding` steps that the time mask leaves out count for nothing; without it they are data, as in
    systems that pad and do not mask. `hidden_size` follows from the stages.
    """

    model_type = "sequence_stack"

    stages: list[dict[str, Any]] | None = None
    input_kind: Literal["sequence", "vector"] = "sequence"
    max_length: int | None = None
    mask_padding: bool = True
    hidden_size: int | None = None

    def check(self) -> None:
        behind = self.shapes[-1]
        if len(behind) != 1:
            raise ConfigError("stages", "a vector behind the last stage", describe(behind), "flatten or pool it")
        if self.hidden_size not in (None, behind[0]):
            raise ConfigError("hidden_size", f"{behind[0]}, which follows from the stages", self.hidden_size)
        self.hidden_size = behind[0]
        super().check()
        for field in ("dropout", "input_dropout"):
            if getattr(self, field):
                raise ConfigError(field, "0: dropout is a stage here", getattr(self, field))

    @property
    def reads_words(self) -> bool:
        return isinstance(self.typed_stages[0], table.Embedding)

    @property
    def typed_stages(self) -> list[table.Stage]:
        """The stages as `stage_table` reads them."""
        if not self.stages:
            raise ConfigError("stages", "at least one stage", "none")
        return table.read_stages(self.stages)

    @property
    def input_shape(self) -> Shape:
        """Sizes of the input of one utterance: (T,) word indices, (T, D) or (D,); None where T varies."""
        if self.max_length is not None:
            self.require_at_least("max_length", self.max_length, 1)
        if self.reads_words:
            if self.modality_dims:
                raise ConfigError("modality_dims", "an empty map: these stages read input_ids", self.modality_dims)
            if self.input_kind != "sequence":
                raise ConfigError("input_kind", "'sequence' for word indices", repr(self.input_kind))
            return (self.max_length,)
        if len(self.modality_dims) != 1:
            raise ConfigError("modality_dims", "one modality and its width", self.modality_dims)
        if self.input_kind == "sequence":
            return self.max_length, self.input_size
        if self.max_length is not None:
            raise ConfigError("max_length", "None for a vector", self.max_length)
        return (self.input_size,)

    @property
    def shapes(self) -> list[Shape]:
        """The shape in front of each stage, and behind the last one."""
        return infer_shapes(self.typed_stages, self.input_shape)
