"""Text CNN for one utterance (Kim, 2014, as used by Poria et al., 2017, for utterance features).

x_1 .. x_n = embedding of the words
c_w = relu(convolution of width w over x), for each width w
scores = relu(dense(pooling of all c_w)), the utterance features that a dialogue model reads
logits = classifier(scores)
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.layers.convolution import same_padding
from mm_emotion.layers.packing import by_length
from mm_emotion.models.batch import check_words
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.models.text_cnn.configuration_text_cnn import TextCNNConfig

_AT_ONCE = 64  # utterances of like length that are read together


class TextCNNForEmotionRecognition(EmotionPreTrainedModel):
    """Word indices `input_ids` (B, U, T), with `text_mask` (B, U, T) where lengths are ragged."""

    config_class = TextCNNConfig
    main_input_name = "input_ids"

    def __init__(self, config: TextCNNConfig):
        super().__init__(config)
        self.embedding = nn.Embedding(config.vocab_size, config.embedding_size)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.embedding_size, config.num_filters, width) for width in config.filter_widths
        )
        self.dense = nn.Linear(config.pooled_size, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()
        self.train()

    def train(self, mode: bool = True) -> "TextCNNForEmotionRecognition":
        """As in torch; a frozen embedding stays out of training."""
        super().train(mode)
        # Loading a checkpoint makes every parameter trainable again, but ends by choosing the mode.
        if self.config.freeze_embedding:
            self.embedding.requires_grad_(False)
        return self

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of word vectors, as transformers asks for it."""
        return self.embedding

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"input_ids": (None if self.config.pooling == "global" else self.config.max_length,)}

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        config = self.config
        ids = batch.input_ids.flatten(0, 1)  # (B*U, T)
        check_words(ids, config.vocab_size)
        mask = torch.ones_like(ids, dtype=torch.bool) if batch.text_mask is None else batch.text_mask.flatten(0, 1)
        least = max(config.filter_widths) if config.conv_padding == "valid" else 1
        if config.pooling == "global":
            missing = max(least - ids.shape[1], 0)  # a short utterance still fills one window
            ids, mask = F.pad(ids, (0, missing)), F.pad(mask, (0, missing))
        kept = mask
        if self.training and config.word_dropout > 0:
            kept = mask & (torch.rand(mask.shape, device=mask.device) >= config.word_dropout)
        if config.pooling == "global":
            pooled = by_length(self._pool, (ids, kept, mask), mask.sum(1), _AT_ONCE, least)
        else:
            pooled = self._pool(ids, kept, mask)
        pooled = F.dropout(pooled, config.dropout, self.training)
        hidden_states = F.relu(self.dense(pooled))  # (B*U, H)
        return hidden_states.unflatten(0, batch.input_ids.shape[:2]), ()

    def _pool(self, ids: Tensor, kept: Tensor, mask: Tensor) -> Tensor:
        """What the convolutions find in N utterances, (N, P), from words, those read and those real, each (N, T)."""
        x = (self.embedding(ids) * kept[..., None]).mT  # (N, E, T)
        branches = [F.relu(self._convolve(convolution, x)) for convolution in self.convolutions]  # (N, F, T')
        if self.config.pooling == "global":
            return torch.cat([self._maximum(branch, mask) for branch in branches], 1)
        if self.config.pooling == "after_concat":
            branches = [torch.cat(branches, 2)]
        return torch.cat([F.max_pool1d(branch, self.config.pool_size).mT.flatten(1) for branch in branches], 1)

    def _convolve(self, convolution: nn.Conv1d, x: Tensor) -> Tensor:
        if self.config.conv_padding == "same":
            # Conv1d's own "same" warns about even widths.
            x = F.pad(x, same_padding(x.shape[2], convolution.kernel_size[0]))
        return convolution(x)

    def _maximum(self, branch: Tensor, mask: Tensor) -> Tensor:
        """Maximum over the windows that end within the utterance, (N, F, T') -> (N, F); there is always one."""
        lost = mask.shape[1] - branch.shape[2]  # 0 when the convolution pads
        windows = (mask.sum(1, keepdim=True) - lost).clamp(min=1)  # (N, 1)
        beyond = torch.arange(branch.shape[2], device=mask.device) >= windows
        # After the ReLU no value is below 0, so 0 leaves the maximum alone.
        return branch.masked_fill(beyond[:, None], 0).amax(2)
