"""3-D convolutional network for the clip of one utterance (Tran et al., 2015, cut down to one layer).

m = maximum over cubes of relu(convolution of the clip)
scores = relu(dense(m)), the utterance features that a dialogue model reads
logits = classifier(dropout(scores))
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.models.video_cnn3d.configuration_video_cnn3d import VideoCNN3DConfig


class ConvolutionBlock(GradientCheckpointingLayer):
    """The maps of a clip and their maxima over cubes, flattened channels last: (N, C, F, Y, X) to (N, F' Y' X' M)."""

    def __init__(self, config: VideoCNN3DConfig):
        super().__init__()
        self.pool_size = config.pool_size
        self.convolution = nn.Conv3d(config.channels, config.num_filters, config.kernel_size)

    def forward(self, clips: Tensor) -> Tensor:
        maps = F.relu(self.convolution(clips), inplace=True)  # (N, M, F, Y, X)
        # A maximum is exact in any precision; autocast on a CPU would widen the maps for it.
        with torch.autocast(maps.device.type, enabled=False):
            return F.max_pool3d(maps, self.pool_size).permute(0, 2, 3, 4, 1).flatten(1)


class VideoCNN3DForEmotionRecognition(EmotionPreTrainedModel):
    """Clips `visual` (B, U, C, F, Y, X) in [0, 1], all of the size that the configuration says."""

    config_class = VideoCNN3DConfig
    main_input_name = "visual"
    supports_gradient_checkpointing = True

    def __init__(self, config: VideoCNN3DConfig):
        super().__init__(config)
        self.block = ConvolutionBlock(config)
        self.dense = nn.Linear(config.pooled_size, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"visual": self.config.clip_shape}

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        clips = batch.visual.flatten(0, 1)  # (B*U, C, F, Y, X)
        if self.block.gradient_checkpointing and self.training:
            pooled = torch.cat([self.block(clip) for clip in clips.split(1)])
        else:
            pooled = self.block(clips)
        hidden_states = F.relu(self.dense(pooled))  # (B*U, H)
        return hidden_states.unflatten(0, batch.visual.shape[:2]), ()

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))
