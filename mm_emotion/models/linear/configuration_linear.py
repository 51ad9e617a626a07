"""Configuration of a linear model that is filled from a fit."""

from typing import Any, Literal

from mm_emotion.errors import ConfigError
from mm_emotion.models.configuration_emotion import EmotionConfig


class LinearConfig(EmotionConfig):
    """Vectors of one or more modalities side by side -> labels, by `ridge`, `logistic` or a support vector `svm`.

    A fit writes the weights, and into `complexity` the one it chose of `complexities`: the weight C of the errors
    against the squared norm of the weights. `standardize` brings each value to mean 0 and deviation 1 over the training
    utterances. `epsilon` is the error that a support vector regression forgives.
    """

    model_type = "linear"

    estimator: Literal["ridge", "logistic", "svm"] = "ridge"
    complexities: list[float] | None = None
    complexity: float | None = None
    standardize: bool = True
    epsilon: float = 0.0

    def __post_init__(self, **kwargs: Any) -> None:
        if self.complexities is None:
            self.complexities = [10.0**power for power in range(-5, 2)]
        super().__post_init__(**kwargs)

    def check(self) -> None:
        super().check()
        self.refuse(["dropout", "input_dropout", "modality_dropout"], "this model is fitted in one go")
        self.require_modality()
        self.hidden_size = self.input_size
        if not self.complexities or not all(0 < value < float("inf") for value in self.complexities):
            raise ConfigError("complexities", "a list of finite numbers above 0", self.complexities)
        self.require_at_least("epsilon", self.epsilon, 0)
        if self.estimator == "logistic" and self.problem_type == "regression":
            raise ConfigError("estimator", "'ridge' or 'svm' for a regression", repr(self.estimator))
