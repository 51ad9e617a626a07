"""Memory Fusion Network (Zadeh et al., 2018): cross-modal changes of two steps, kept in a gated memory.

h_t, c_t = one LSTM cell per modality; c* = [c_(t-1); c_t] of all modalities
c^ = softmax(W2 relu(W1 c*)) * c*                  the softmax runs over the features
u^ = tanh(V2 relu(V1 c^))
mem_t = s(G1([c^; mem_(t-1)])) * mem_(t-1) + s(G2([c^; mem_(t-1)])) * u^
hidden = relu(linear([h_T; mem_T])), logits = classifier(dropout(hidden))

Modalities stand in `schema.MODALITIES` order. An utterance ends at its last real step; sequences that are padded in the
feature, as published, are read to the end. Where utterances are the steps (`window`), the network starts anew for each.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mm_emotion.models.batch import aligned
from mm_emotion.models.mfn.configuration_mfn import MFNConfig
from mm_emotion.models.modeling_emotion import EmotionBatch, EmotionPreTrainedModel


def two_layers(input_size: int, size: int, output_size: int, dropout: float) -> nn.Sequential:
    """The small network that attention, proposal and gates have in common."""
    return nn.Sequential(nn.Linear(input_size, size), nn.ReLU(), nn.Dropout(dropout), nn.Linear(size, output_size))


class MFNForEmotionRecognition(EmotionPreTrainedModel):
    """Aligned sequences (B, U, T, D), one per modality, with their time masks; with `window` vectors (B, U, D)."""

    config_class = MFNConfig

    def __init__(self, config: MFNConfig):
        super().__init__(config)
        window, memory = 2 * config.state_size, config.memory_size
        self.cells = nn.ModuleDict(
            {name: nn.LSTMCell(config.modality_dims[name], config.recurrent_sizes[name]) for name in config.modalities}
        )
        self.attention = two_layers(window, config.attention_size, window, config.attention_dropout)
        self.proposal = two_layers(window, config.proposal_size, memory, config.proposal_dropout)
        self.retain = two_layers(window + memory, config.retain_size, memory, config.retain_dropout)
        self.update = two_layers(window + memory, config.update_size, memory, config.update_dropout)
        self.dense = nn.Linear(config.state_size + memory, config.hidden_size)
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    def input_shapes(self) -> dict[str, tuple[int | None, ...]]:
        steps = (None,) if self.config.window is None else ()
        return {name: (*steps, self.config.modality_dims[name]) for name in self.config.modalities}

    def encode(self, batch: EmotionBatch) -> tuple[Tensor, tuple[Tensor, ...]]:
        return self.encode_on(batch, None)[:2]

    def encode_on(
        self, batch: EmotionBatch, past: dict[str, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        if self.config.window is None:
            given = [(name, getattr(batch, name)) for name in self.config.modalities]
            return self._read(*aligned(batch, given)), (), {}
        size = self.config.window + 1
        own = {"x": self.side_by_side(batch), "mask": batch.utterance_mask}  # (B, U, D), (B, U)
        if past is None:
            past = {name: part.new_zeros(len(part), size - 1, *part.shape[2:]) for name, part in own.items()}
        heard = {name: torch.cat([past[name], part], 1) for name, part in own.items()}  # (B, W+U, ..)
        steps, mask = (part.unfold(1, size, 1) for part in heard.values())  # (B, U, D, W+1), (B, U, W+1)
        widths = [self.config.modality_dims[name] for name in self.config.modalities]
        hidden_states = self._read(steps.movedim(-1, 2).split(widths, -1), mask)
        return hidden_states, (), {name: part[:, 1 - size :] for name, part in heard.items()}

    def _read(self, sequences: Sequence[Tensor], mask: Tensor) -> Tensor:
        """Hidden states (B, U, H) of aligned steps (B, U, T, D), those that count by `mask` (B, U, T)."""
        inputs = [sequence.flatten(0, 1) for sequence in sequences]  # (B*U, T, D)
        steps = mask.flatten(0, 1)[..., None]  # (B*U, T, 1)
        sizes = [self.config.recurrent_sizes[name] for name in self.config.modalities]
        hidden = cells = inputs[0].new_zeros(len(steps), self.config.state_size)  # (B*U, H)
        memory = inputs[0].new_zeros(len(steps), self.config.memory_size)  # (B*U, M)
        for step in range(steps.shape[1]):
            states = zip(hidden.split(sizes, 1), cells.split(sizes, 1), strict=True)
            pairs = [
                cell(x[:, step], state) for cell, x, state in zip(self.cells.values(), inputs, states, strict=True)
            ]
            new_hidden, new_cells = (torch.cat(parts, 1) for parts in zip(*pairs, strict=True))  # (B*U, H)
            new_memory = self._remember(torch.cat([cells, new_cells], 1), memory)
            real = steps[:, step]  # (B*U, 1)
            hidden = torch.where(real, new_hidden, hidden)
            cells = torch.where(real, new_cells, cells)
            memory = torch.where(real, new_memory, memory)
        scores = F.relu(self.dense(torch.cat([hidden, memory], 1)))  # (B*U, H)
        return scores.unflatten(0, mask.shape[:2])

    def classify(self, hidden_states: Tensor) -> Tensor:
        return self.classifier(F.dropout(hidden_states, self.config.dropout, self.training))

    def _remember(self, window: Tensor, memory: Tensor) -> Tensor:
        """The memory (N, M) after a step, of the cell states of two steps (N, 2*H) and the memory before it."""
        attended = self.attention(window).softmax(1) * window
        both = torch.cat([attended, memory], 1)
        kept, let_in = self.retain(both).sigmoid(), self.update(both).sigmoid()
        return kept * memory + let_in * self.proposal(attended).tanh()
