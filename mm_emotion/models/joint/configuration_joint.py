"""Configuration of utterance models trained end to end as one."""

from typing import Any

from mm_emotion.errors import ConfigError
from mm_emotion.models.children import as_data, child_config, common_widths
from mm_emotion.models.configuration_emotion import EmotionConfig


class JointConfig(EmotionConfig):
    """Utterance models side by side -> a dense layer of `hidden_size` -> labels, trained with one loss.

    `children` holds the configuration of each; what a child ends in, before or after a dense layer of its own, is the
    child's matter. `joint_norm` normalises the dense layer in front of its ReLU. Without `fusion_layer` the classifier
    reads the children directly, and `hidden_size` is their sum. `dropout` acts in front of the classifier.
    `modality_dims` of the whole follows from the children.
    """

    model_type = "joint"

    children: list[dict[str, Any]] | None = None
    fusion_layer: bool = True
    joint_norm: bool = False

    def __post_init__(self, **kwargs: Any) -> None:
        if not self.children:
            raise ConfigError("children", "the configurations of one or more utterance models", "none")
        children = [child_config(f"children[{i}]", child) for i, child in enumerate(self.children)]
        self.children = [as_data(child) for child in children]
        needed = common_widths(children)
        if self.modality_dims not in (None, {}, needed):
            raise ConfigError("modality_dims", f"{needed}, which follows from the children", self.modality_dims)
        self.modality_dims = needed
        if not self.fusion_layer:
            self.hidden_size = sum(child.representation_size for child in children)
        super().__post_init__(**kwargs)

    def check(self) -> None:
        super().check()
        self.refuse(["input_dropout"], "the inputs are the children's matter")
        if self.joint_norm and not self.fusion_layer:
            raise ConfigError("joint_norm", "False without a fusion_layer", True)

    @property
    def is_causal(self) -> bool:
        return all(child_config("children", child).is_causal for child in self.children)
