"""Configuration of the 3-D convolutional network, and what a step of its training takes in memory."""

from mm_emotion.errors import ConfigError
from mm_emotion.models.configuration_emotion import EmotionConfig


class VideoCNN3DConfig(EmotionConfig):
    """Clips of `frames` x `height` x `width` pixels -> 3-D convolution, ReLU, maxima of cubes -> scores -> labels.

    `gradient_checkpointing` convolves a batch clip by clip and once more in the backward pass, so that the maps of one
    clip at a time are in memory; transformers consumes the field, a saved model is without it. `dropout` acts in front
    of the classifier.
    """

    model_type = "video_cnn3d"

    frames: int = 15
    height: int = 480
    width: int = 180
    channels: int = 3
    num_filters: int = 128
    kernel_size: int = 5
    pool_size: int = 3
    gradient_checkpointing: bool = False

    def check(self) -> None:
        super().check()
        if self.modality_dims:
            raise ConfigError("modality_dims", "an empty map: this model reads clips", self.modality_dims)
        if self.input_dropout:
            raise ConfigError("input_dropout", "0: this model reads clips", self.input_dropout)
        for field in ("channels", "num_filters", "kernel_size", "pool_size"):
            self.require_at_least(field, getattr(self, field), 1)
        for field in ("frames", "height", "width"):
            self.require_at_least(field, getattr(self, field), self.kernel_size + self.pool_size - 1)

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """Axes of a clip: channels, frames, rows, columns."""
        return self.channels, self.frames, self.height, self.width

    @property
    def map_size(self) -> int:
        """Values of the maps of one clip before pooling."""
        frames, height, width = (size - self.kernel_size + 1 for size in self.clip_shape[1:])
        return self.num_filters * frames * height * width

    @property
    def pooled_size(self) -> int:
        """Values of one clip that the dense layer reads."""
        frames, height, width = ((size - self.kernel_size + 1) // self.pool_size for size in self.clip_shape[1:])
        return self.num_filters * frames * height * width

    @property
    def num_weights(self) -> int:
        """Trainable values of the model."""
        convolution = self.num_filters * (self.channels * self.kernel_size**3 + 1)
        head = (self.pooled_size + 1) * self.hidden_size + (self.hidden_size + 1) * self.num_labels
        return convolution + head


def training_bytes(config: VideoCNN3DConfig, batch_size: int, half: bool = False, checkpointing: bool = False) -> int:
    """Memory of a training step with Adam at its peak, in bytes, without what the allocator and cuDNN add.

    Weights, gradients and Adam's two moments are float32 and always there, and Adam's step needs one more copy for its
    intermediate values. The activations come and go before that step: of each clip its pixels and the maxima with their
    places (8 bytes each), and at the peak the maps behind the ReLU and the gradients on both sides of it; of one clip
    only with `checkpointing`. With `half` (bf16 autocast) activations and a copy of the weights take 2 bytes.
    For the published clip, 15 x 480 x 180, that is 7.1 GB at batch size 1 and 17.4 GB at 8, which a card of 24 GB
    holds; with checkpointing 8.9 GB at 32.
    """
    weights, size = 4 * config.num_weights, 2 if half else 4
    pixels = config.channels * config.frames * config.height * config.width
    kept = batch_size * (4 * pixels + (size + 8) * config.pooled_size)
    if half:
        kept += batch_size * size * pixels + size * config.num_weights
    maps = 3 * size * config.map_size * (1 if checkpointing else batch_size)
    return 4 * weights + max(kept + maps, weights)
