"""The Memory Fusion Network against its transcription, on ragged aligned sequences."""

import torch

from mm_emotion.models import MFNConfig, MFNForEmotionRecognition

from . import fusion as literal
from .cases import assert_parity, leaves, randomize

CONFIG = {
    "modality_dims": {"visual": 2, "text": 3, "audio": 2},
    "recurrent_sizes": {"text": 3, "audio": 2, "visual": 1},
    "memory_size": 4,
    "attention_size": 3,
    "proposal_size": 2,
    "retain_size": 3,
    "update_size": 5,
    "hidden_size": 3,
    "num_labels": 3,
}
ORDER = ("text", "audio", "visual")


def test_d4_logits_and_gradients_of_ragged_utterances():
    torch.manual_seed(2)
    model = randomize(MFNForEmotionRecognition(MFNConfig(**CONFIG)))
    lengths = torch.tensor([[5, 1], [3, 0]])
    steps = torch.arange(5) < lengths[..., None]  # (B, U, T)
    batch = {name: torch.randn(2, 2, 5, size, dtype=torch.float64) for name, size in CONFIG["modality_dims"].items()}
    batch |= {f"{name}_mask": steps for name in ORDER} | {"utterance_mask": lengths > 0}

    def transcription(weights, dialogue):
        rows = [
            {name: batch[name][dialogue, utterance, : lengths[dialogue, utterance]] for name in ORDER}
            for utterance in range(2)
            if lengths[dialogue, utterance]
        ]
        return torch.stack([literal.mfn(weights, row) for row in rows])

    mask = batch["utterance_mask"]
    batch["text"] = batch["text"] * steps[..., None]
    assert mask.sum() == 3
    assert_parity(model, batch, transcription)


def test_a_word_without_frames_reads_zeros_and_padding_in_the_feature_is_read():
    torch.manual_seed(4)
    model = randomize(MFNForEmotionRecognition(MFNConfig(**CONFIG)))
    values = {name: torch.randn(1, 1, 4, size, dtype=torch.float64) for name, size in CONFIG["modality_dims"].items()}
    full = torch.ones(1, 1, 4, dtype=torch.bool)
    masks = {"text_mask": full, "audio_mask": torch.arange(4) < 2 * full, "visual_mask": full}
    zeroed = {**values, "audio": values["audio"] * masks["audio_mask"][..., None]}
    sequences = {name: zeroed[name][0, 0] for name in ORDER}
    expected = literal.mfn(leaves(model), sequences)
    torch.testing.assert_close(model(**values, **masks).logits[0, 0], expected)
    torch.testing.assert_close(model(**zeroed).logits[0, 0], expected)
    short = {**zeroed, "audio": zeroed["audio"][:, :, :2]}
    torch.testing.assert_close(model(**short).logits[0, 0], expected)
