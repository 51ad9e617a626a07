"""A stack of stages for one utterance: the sequential networks of several papers, each a list of stages in its recipe.

x_0 = the words, steps or vector of the utterance
x_i = stage_i(x_{i-1})
logits = classifier(x_n)

Steps that do not count are 0 between any two stages, so that a stage may read beyond the end of an utterance.
"""

from torch import Tensor, nn

from mm_emotion.models.batch import check_words, modality_of
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel
from mm_emotion.models.sequence_stack import stage_table as table
from mm_emotion.models.sequence_stack.configuration_sequence_stack import SequenceStackConfig
from mm_emotion.models.sequence_stack.stages import build_stage


class SequenceStackForEmotionRecognition(EmotionPreTrainedModel):
    """Reads `input_ids` (B, U, T), or one modality as steps (B, U, T, D) or vectors (B, U, D), with its time mask."""

    config_class = SequenceStackConfig

    def __init__(self, config: SequenceStackConfig):
        super().__init__(config)
        stages = config.typed_stages
        self.vocab_size = stages[0].vocab_size if config.reads_words else None
        self.stages = nn.ModuleList(map(build_stage, stages, config.shapes[:-1]))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()
        self.train()

    def train(self, mode: bool = True) -> "SequenceStackForEmotionRecognition":
        """As in torch; an embedding that is not trainable stays out of training."""
        super().train(mode)
        # Loading a checkpoint makes every parameter trainable again, but ends by choosing the mode.
        first = self.config.typed_stages[0]
        if isinstance(first, table.Embedding) and not first.trainable:
            self.stages[0].requires_grad_(False)
        return self

    def get_input_embeddings(self) -> nn.Embedding | None:
        """The table of word vectors, as transformers asks for it; None where no words are read."""
        return None if self.vocab_size is None else self.stages[0]

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        return {self._key: self.config.input_shape}

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        config = self.config
        given = getattr(batch, self._key)  # (B, U, ...)
        x, mask = given.flatten(0, 1), None  # (N, ...)
        if config.mask_padding and config.input_kind == "sequence":
            mask = getattr(batch, f"{modality_of(self._key)}_mask")
            mask = None if mask is None else mask.flatten(0, 1)  # (N, T)
        if self.vocab_size is None:
            x = _silent(x, mask)
        else:
            check_words(x, self.vocab_size)
        real = batch.utterance_mask.flatten()  # (N,)
        for stage in self.stages:
            x, mask = stage(x, mask, real)
            x = _silent(x, mask)
        return x.unflatten(0, given.shape[:2]), ()

    @property
    def _key(self) -> str:
        return self.config.modalities[0] if self.vocab_size is None else "input_ids"


def _silent(x: Tensor, mask: Tensor | None) -> Tensor:
    """`x` with zeros at the steps that do not count."""
    return x if mask is None else x.masked_fill(~mask[..., None], 0)
