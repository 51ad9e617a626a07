"""Configuration of trained models whose outputs are combined."""

from typing import Any, Literal

from mm_emotion.errors import ConfigError
from mm_emotion.models.children import as_data, child_config, common_widths
from mm_emotion.models.configuration_emotion import EmotionConfig
from mm_emotion.ops.product_fusion import MOST_MODALITIES


class LateFusionConfig(EmotionConfig):
    """Models for the same labels -> one posterior, by the `average`, `weighted` average or `product` of theirs.

    `weights`, one a child, are the shares of the weighted average (which sum to 1), or the exponents of the product
    (all 1 if left out). `class_prior` divides the product, as the rule for independent experts asks. `exclude_self`
    leaves class c out of the sum that normalises c, as Sebastian and Pierucci print it: other scores, the same order.
    A regression takes the average or weighted average of the outputs, or with `linear` any `weights` of them and an
    `intercept`, as a linear regression of one dimension finds them. What the children read follows from them.
    """

    model_type = "late_fusion"

    children: list[dict[str, Any]] | None = None
    rule: Literal["average", "weighted", "product", "linear"] = "average"
    weights: list[float] | None = None
    intercept: float = 0.0
    class_prior: list[float] | None = None
    exclude_self: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if not self.children:
            raise ConfigError("children", "the configurations of one or more models", "none")
        if len(self.children) > MOST_MODALITIES:
            raise ConfigError("children", f"at most {MOST_MODALITIES}", len(self.children))
        children = [child_config(f"children[{i}]", child) for i, child in enumerate(self.children)]
        self.children = [as_data(child) for child in children]
        needed = common_widths(children)
        if self.modality_dims not in (None, {}, needed):
            raise ConfigError("modality_dims", f"{needed}, which follows from the children", self.modality_dims)
        self.modality_dims = needed
        if self.id2label is None and kwargs.get("num_labels") is None:
            self.id2label = dict(children[0].id2label)
        if self.problem_type is None:
            self.problem_type = children[0].problem_type
        self.num_parties = max(child.num_parties for child in children)
        self.hidden_size = children[0].num_labels
        super().__post_init__(**kwargs)
        for index, child in enumerate(children):
            for field in ("num_labels", "problem_type"):
                if getattr(child, field) != getattr(self, field):
                    raise ConfigError(f"children[{index}].{field}", getattr(self, field), getattr(child, field))

    def check(self) -> None:
        super().check()
        self.refuse(["dropout", "input_dropout"], "dropout is the children's matter")
        if self.problem_type == "regression" and self.rule == "product":
            raise ConfigError("rule", "'average', 'weighted' or 'linear' for a regression", repr(self.rule))
        if self.rule == "linear" and (self.problem_type != "regression" or self.num_labels != 1):
            raise ConfigError("rule", "'linear' for a regression of one dimension alone", repr(self.rule))
        if self.rule != "linear" and self.intercept:
            raise ConfigError("intercept", "0 but for rule 'linear'", self.intercept)
        if self.rule in ("weighted", "linear") and self.weights is None:
            self.weights = [1 / len(self.children)] * len(self.children)
        if self.weights is not None:
            if self.rule == "average":
                raise ConfigError("weights", "None for an average", self.weights)
            if len(self.weights) != len(self.children):
                raise ConfigError("weights", f"{len(self.children)} numbers, one for each child", len(self.weights))
            if self.rule == "linear":
                if not all(abs(value) < float("inf") for value in (*self.weights, self.intercept)):
                    raise ConfigError("weights", "finite numbers", self.weights)
            elif not all(0 <= weight < float("inf") for weight in self.weights) or not any(self.weights):
                raise ConfigError("weights", "finite numbers of at least 0, not all 0", self.weights)
            if self.rule == "weighted" and abs(sum(self.weights) - 1) > 1e-6:
                raise ConfigError("weights", "shares that sum to 1", self.weights)
        for field in ("class_prior", "exclude_self"):
            if getattr(self, field) and self.rule != "product":
                raise ConfigError(field, f"rule 'product', not {self.rule!r}", getattr(self, field))
        if self.class_prior is not None:
            if len(self.class_prior) != self.num_labels:
                raise ConfigError("class_prior", f"{self.num_labels} probabilities", len(self.class_prior))
            if not all(0 < share <= 1 for share in self.class_prior) or abs(sum(self.class_prior) - 1) > 1e-3:
                raise ConfigError("class_prior", "probabilities above 0 that sum to 1", self.class_prior)

    @property
    def is_causal(self) -> bool:
        return all(child_config("children", child).is_causal for child in self.children)
