"""Late fusion: the posteriors of trained models combined (Sebastian and Pierucci, 2019, Eq. 2 to 4).

I   average:   P = sum_m P_m / M
II  weighted:  P = sum_m w_m P_m, the w_m found on the validation part
III product:   P(c) = prod_m P_m(c)^w_m / sum over classes, with w_m = 1, in log space

IV  linear:    y = sum_m w_m y_m + b for one number, by least squares    (Ortega et al., 2019)

A child none of whose modalities is there has no say, and the shares of the others sum to 1; under IV its output counts
as 0. One child alone is a unimodal system. With `exclude_self` the sum of III leaves class c out: P(c) / (1 - P(c)),
which orders the classes as P does.
"""

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel

from mm_emotion.models.children import as_data, check_labels, common_shapes, encode_on_each, has_input
from mm_emotion.models.late_fusion.configuration_late_fusion import LateFusionConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.ops.product_fusion import product_fusion


class LateFusionForEmotionRecognition(EmotionPreTrainedModel):
    """Takes what its children take; hidden states are the fused log posterior (B, U, K), of which softmax is P."""

    config_class = LateFusionConfig

    def __init__(self, config: LateFusionConfig):
        super().__init__(config)
        self.experts = nn.ModuleList(AutoModel.from_config(AutoConfig.for_model(**child)) for child in config.children)
        check_labels(config, *self.experts)
        self.needs_speakers = any(expert.needs_speakers for expert in self.experts)
        self.post_init()

    @classmethod
    def from_children(
        cls, children: list[EmotionPreTrainedModel], **options: object
    ) -> "LateFusionForEmotionRecognition":
        """One system from trained models, with a copy of their weights; `options` are fields of the configuration."""
        first = children[0].config
        labels = {"id2label": dict(first.id2label), "problem_type": first.problem_type}
        config = LateFusionConfig(children=[as_data(child.config) for child in children], **{**labels, **options})
        model = cls(config).to(children[0].dtype)
        for expert, child in zip(model.experts, children, strict=True):
            expert.load_state_dict(child.state_dict())
        return model

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return common_shapes(self.experts)

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        outputs, present = self.expert_outputs(batch)
        return self.fuse(outputs, present), ()

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        encoded, remembered = encode_on_each(self.experts, batch, past)
        return self.fuse(*self._said([states for states, _ in encoded], batch)), (), remembered

    def expert_outputs(self, batch: EmotionBatch) -> tuple[Tensor, Tensor]:
        """Log posteriors (outputs for a regression) of a gathered batch (B, U, M, K), and who has a say (B, U, M)."""
        return self._said([expert.encode(batch)[0] for expert in self.experts], batch)

    def _said(self, states: list[Tensor], batch: EmotionBatch) -> tuple[Tensor, Tensor]:
        padding = ~batch.utterance_mask[..., None]  # (B, U, 1)
        stacked = torch.stack(
            [
                expert.classify(state.masked_fill(padding, 0))
                for expert, state in zip(self.experts, states, strict=True)
            ],
            2,
        )
        present = torch.stack([has_input(expert, batch) for expert in self.experts], 2)
        return stacked if self.config.problem_type == "regression" else stacked.log_softmax(-1), present

    def fuse(self, outputs: Tensor, present: Tensor) -> Tensor:
        """One log posterior (or output) (..., K) from those of the experts (..., M, K); present: (..., M) bool."""
        config = self.config
        shares = outputs.new_tensor(config.weights or [1.0] * outputs.shape[-2])  # (M,)
        if config.rule == "product":
            prior = None if config.class_prior is None else outputs.new_tensor(config.class_prior).log()
            return product_fusion(outputs, shares, prior, present)
        shares = shares * present  # (..., M)
        if config.rule == "linear":
            return (shares[..., None] * outputs).sum(-2) + config.intercept
        total = shares.sum(-1, keepdim=True)
        shares = (shares / torch.where(total > 0, total, 1))[..., None]  # (..., M, 1)
        if config.problem_type == "regression":
            return (shares * outputs).sum(-2)
        # Where nobody has a say, or only experts of weight 0, all classes are equally likely.
        nobody = (total <= 0)[..., None]
        return (shares.log() + outputs).masked_fill(nobody, 0).logsumexp(-2).log_softmax(-1)

    def classify(self, hidden_states: Tensor) -> Tensor:
        if not self.config.exclude_self:
            return hidden_states
        others = torch.eye(hidden_states.shape[-1], dtype=torch.bool, device=hidden_states.device)  # (K, K)
        rest = hidden_states[..., None, :].masked_fill(others, -torch.inf).logsumexp(-1)  # log(1 - P(c))
        return hidden_states - rest
