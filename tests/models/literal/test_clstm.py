"""The cLSTM against its transcription: packed and unpacked, one modality and several."""

import pytest
import torch

from mm_emotion.models import CLSTMConfig, CLSTMForEmotionRecognition

from . import memory_transcriptions as literal
from .cases import assert_parity, ragged_batch, randomize

WIDTHS = {"text": 3, "audio": 2, "visual": 1}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(24)


def parity(lengths: list[int], modalities: tuple[str, ...], pack: bool, extra_padding: int = 0) -> None:
    widths = {name: WIDTHS[name] for name in reversed(modalities)}  # the schema orders them, not the configuration
    sizes = {"recurrent_size": 4, "unimodal_size": 3, "hidden_size": 5, "num_labels": 4}
    model = randomize(CLSTMForEmotionRecognition(CLSTMConfig(modality_dims=widths, pack=pack, **sizes)))
    batch = ragged_batch(lengths, 2, 3, 4, extra_padding)
    mask = batch["utterance_mask"]
    for name in modalities[1:]:
        batch[name] = torch.randn(*mask.shape, WIDTHS[name], dtype=torch.float64) * mask.unsqueeze(2)

    def transcription(weights, dialogue):
        steps = lengths[dialogue] if pack else mask.shape[1]
        return literal.clstm(weights, {name: batch[name][dialogue, :steps] for name in modalities})

    assert_parity(model, batch, transcription)


@pytest.mark.parametrize("pack", [True, False])
@pytest.mark.parametrize("extra_padding", [0, 2])
@pytest.mark.parametrize("modalities", [("text",), ("text", "audio", "visual")])
def test_two_levels(modalities, extra_padding, pack):
    """Unpacked, the second level reads what the first made of the padding."""
    parity([4, 1, 3], modalities, pack, extra_padding)


@pytest.mark.parametrize("pack", [True, False])
def test_one_utterance_alone(pack):
    parity([1], ("text", "audio"), pack)
