"""The interactive conversational memory network against its transcription, on ragged batches."""

import pytest
import torch

from mm_emotion.models import ICONConfig, ICONForEmotionRecognition

from . import memory_transcriptions as literal
from .cases import assert_parity, ragged_batch, randomize


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(23)


def parity(lengths: list[int], window: int, hops: int, parties: int = 2, extra_padding: int = 0) -> None:
    config = ICONConfig(modality_dims={"text": 3}, hidden_size=4, num_labels=5, window=window, hops=hops)
    model = randomize(ICONForEmotionRecognition(config))
    batch = ragged_batch(lengths, parties, 3, 5, extra_padding)

    def transcription(weights, dialogue):
        rows = (batch[name][dialogue, : lengths[dialogue]] for name in ("text", "speaker_mask"))
        return literal.icon(weights, *rows, window=window, hops=hops)

    assert_parity(model, batch, transcription)


@pytest.mark.parametrize("window", [1, 3, 9])
@pytest.mark.parametrize("extra_padding", [0, 2])
def test_windows_shorter_and_longer_than_the_dialogue(window, extra_padding):
    parity([6, 1, 4], window, 3, extra_padding=extra_padding)


@pytest.mark.parametrize("hops", [1, 2, 4])
def test_hops(hops):
    parity([5, 2], 3, hops)


@pytest.mark.parametrize("parties", [1, 3])
def test_one_party_and_three(parties):
    """One party has no others; of three, two are the others and share one history."""
    parity([5, 3], 4, 2, parties)


def test_one_utterance_alone_reads_nothing():
    parity([1], 4, 3, 1)
