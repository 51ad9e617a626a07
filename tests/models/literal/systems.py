"""The published DialogueRNN systems in tiny sizes, each with the arguments of its transcription."""

import torch
from torch import Tensor

from mm_emotion.models import DialogueRNNConfig, DialogueRNNForEmotionRecognition

from . import transcriptions as literal
from .cases import Batch, randomize

REGRESSION = {"context_attention": "simple", "activation": "tanh", "problem_type": "regression", "num_labels": 1}
SYSTEMS = {
    "dialogue_rnn": {},
    "dialogue_rnn_l": {"listener_state": True},
    "dialogue_rnn_att": {"use_attention": True},
    "bi_dialogue_rnn": {"bidirectional": True},
    "bi_dialogue_rnn_att": {"bidirectional": True, "use_attention": True},
    "regression": REGRESSION,
}
"""The five published systems and the regression variant."""
SIZES = {"modality_dims": {"text": 3}, "global_size": 4, "party_size": 5, "emotion_size": 2, "hidden_size": 3}


def build(parties: int = 2, **fields: object) -> DialogueRNNForEmotionRecognition:
    """A float64 model in evaluation mode with weights of order one."""
    config = DialogueRNNConfig(**{**SIZES, "num_labels": 4, "attention_size": 3, "num_parties": parties, **fields})
    return randomize(DialogueRNNForEmotionRecognition(config))


def transcribe(config: DialogueRNNConfig, weights: literal.Weights, batch: Batch, dialogue: int) -> Tensor:
    """Logits (U, K) of one dialogue, padding included, by the transcription."""
    return literal.dialogue_rnn(
        weights,
        *(batch[name][dialogue] for name in ("text", "speaker_mask", "utterance_mask")),
        use_attention=config.use_attention,
        activation=config.activation,
        **recurrence(config),
    )


def recurrence(config: DialogueRNNConfig) -> dict[str, str | bool]:
    """The switches of the recurrence under the names of the transcription."""
    return {
        "attention": config.context_attention,
        "listener": config.listener_state,
        "bidirectional": config.bidirectional,
    }


def keep_masks(config: DialogueRNNConfig, dialogues: int, steps: int, parties: int) -> Tensor:
    """Random recurrent dropout masks (R, B, U, G+P+E[+Q*P]), True where a value of a new state is kept."""
    listeners = parties * config.party_size * config.listener_state
    width = config.global_size + config.party_size + config.emotion_size + listeners
    return torch.rand(config.directions, dialogues, steps, width) < 0.6


def scaled_drop(config: DialogueRNNConfig, keep: Tensor, length: int, parties: int) -> dict[str, dict[str, Tensor]]:
    """The same masks (R, U, G+P+E[+Q*P]) of one dialogue as the transcription reads them, in reading order.

    The states of parties that do not speak are discarded, so that one mask serves all of them.
    """
    scaled = {}
    for direction, masks in enumerate(keep.double() / (1 - config.recurrent_dropout)):
        masks = masks[:length].flip(0) if direction else masks[:length]
        party_end = config.global_size + config.party_size
        emotion_end = party_end + config.emotion_size
        cell = {
            "global_state": masks[:, : config.global_size],
            "party_states": masks[:, None, config.global_size : party_end].expand(-1, parties, -1),
            "emotion_state": masks[:, party_end:emotion_end],
        }
        if config.listener_state:
            cell["listener_states"] = masks[:, emotion_end:].unflatten(1, (parties, config.party_size))
        scaled["backward_cell" if direction else "forward_cell"] = cell
    return scaled
