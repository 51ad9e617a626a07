"""Text transformer for one utterance: the encoder block of Vaswani et al. (2017) over words, as a feature network.

x_t = word_t + position_t
x <- norm(x + dropout(attention(x))), x <- norm(x + dropout(W2 relu(W1 x)))
scores = relu(dense(dropout(mean of x_t))), the utterance features that a dialogue model reads
logits = classifier(dropout(scores))
"""

import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.errors import BatchError
from mm_emotion.layers.transformer import TextTransformer
from mm_emotion.models.batch import check_words
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.models.text_te.configuration_text_te import TextTEConfig


class TextTEForEmotionRecognition(EmotionPreTrainedModel):
    """Word indices `input_ids` (B, U, T), with `text_mask` (B, U, T) where lengths are ragged."""

    config_class = TextTEConfig
    main_input_name = "input_ids"

    def __init__(self, config: TextTEConfig):
        super().__init__(config)
        self.body = TextTransformer(
            config.vocab_size,
            config.embedding_size,
            config.max_length,
            heads=config.num_heads,
            key_size=config.key_size,
            feedforward_size=config.feedforward_size,
            dropout=config.block_dropout,
            epsilon=config.norm_epsilon,
            mask_padding=config.mask_padding,
        )
        self.dense = nn.Linear(config.embedding_size, config.hidden_size) if config.dense_layer else None
        self.classifier = nn.Linear(config.representation_size, config.num_labels)
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The table of word vectors, as transformers asks for it."""
        return self.body.embedding

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {"input_ids": (None if self.config.mask_padding else self.config.max_length,)}

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        config = self.config
        ids = batch.input_ids.flatten(0, 1)  # (B*U, T)
        mask = None if batch.text_mask is None else batch.text_mask.flatten(0, 1)
        check_words(ids, config.vocab_size)
        if ids.shape[1] > config.max_length:
            if mask is None or (ids.device.type == "cpu" and mask[:, config.max_length :].any()):
                raise BatchError("input_ids", f"at most {config.max_length} words, one for each position", ids.shape[1])
            ids, mask = ids[:, : config.max_length], mask if mask is None else mask[:, : config.max_length]
        pooled = F.dropout(self.body(ids, mask), config.dropout, self.training)  # (B*U, E)
        hidden_states = pooled if self.dense is None else F.relu(self.dense(pooled))  # (B*U, H)
        return hidden_states.unflatten(0, batch.input_ids.shape[:2]), ()

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))
