"""Configuration of modalities that are joined before one network reads them."""

from typing import Any

from mm_emotion.errors import ConfigError
from mm_emotion.models.children import as_data, child_config
from mm_emotion.models.configuration_emotion import EmotionConfig


class EarlyFusionConfig(EmotionConfig):
    """Modalities side by side, or a tanh projection of them to `projection_size` -> `stack`, the model that reads it.

    `stack` is the configuration of a model of one modality, whose name there does not matter and whose width is that of
    what is joined; it says whether that is a sequence of aligned steps or a vector. `one_hot_words`, the size of a
    vocabulary, joins the word of each step as that many values of 0 and 1, in front of the modalities. `output_range`
    [low, high] bounds a regression outside of training, where a bound would stop the gradient; with `clamp_in_loss` in
    training as well.
    """

    model_type = "early_fusion"

    stack: dict[str, Any] | None = None
    projection_size: int | None = None
    one_hot_words: int | None = None
    output_range: list[float] | None = None
    clamp_in_loss: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if not self.stack:
            raise ConfigError("stack", "the configuration of a model of one modality", "none")
        own = dict(self.stack)
        if not {"num_labels", "id2label"} & own.keys():
            own["num_labels"] = len(self.id2label) if self.id2label is not None else kwargs.get("num_labels", 2)
        own.setdefault("problem_type", self.problem_type or "single_label_classification")
        stack = child_config("stack", own)
        self.stack = as_data(stack)
        self.hidden_size, self.num_parties = stack.representation_size, stack.num_parties
        super().__post_init__(**kwargs)
        for field in ("num_labels", "problem_type"):
            if getattr(stack, field) != getattr(self, field):
                raise ConfigError(f"stack.{field}", getattr(self, field), getattr(stack, field))

    def check(self) -> None:
        super().check()
        self.refuse(["dropout", "input_dropout"], "dropout is the matter of the stack")
        if self.one_hot_words is None:
            self.require_modality()
        else:
            self.require_at_least("one_hot_words", self.one_hot_words, 3)  # padding, the unknown word and one more
        if self.projection_size is not None:
            self.require_at_least("projection_size", self.projection_size, 1)
        widths = list(self.stack["modality_dims"].values())
        if widths != [self.fused_size]:
            raise ConfigError("stack.modality_dims", f"one modality of {self.fused_size} values", widths)
        if self.one_hot_words is not None and self.stack.get("input_kind", "sequence") != "sequence":
            raise ConfigError("one_hot_words", "None for a stack that reads vectors", self.one_hot_words)
        if self.output_range is not None:
            if self.problem_type != "regression":
                raise ConfigError("output_range", "None for a classification", self.output_range)
            if len(self.output_range) != 2 or not self.output_range[0] < self.output_range[1]:
                raise ConfigError("output_range", "[low, high] with low < high", self.output_range)
        if self.clamp_in_loss and self.output_range is None:
            raise ConfigError("clamp_in_loss", "False without an output_range", True)

    @property
    def fused_size(self) -> int:
        """Width of what the stack reads."""
        return self.joined_size if self.projection_size is None else self.projection_size

    @property
    def joined_size(self) -> int:
        """Width of what is joined."""
        return self.input_size + (self.one_hot_words or 0)

    @property
    def is_causal(self) -> bool:
        return child_config("stack", self.stack).is_causal
