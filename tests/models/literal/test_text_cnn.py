"""The text CNN against its transcription: paddings, poolings, time-major flattening, ragged lengths."""

import pytest
import torch

from mm_emotion.models import TextCNNConfig, TextCNNForEmotionRecognition

from . import transcriptions as literal
from .cases import assert_parity, randomize

WIDTHS = [2, 3, 4]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(13)


def build(**fields: object) -> TextCNNForEmotionRecognition:
    sizes = {"vocab_size": 12, "embedding_size": 3, "num_filters": 2, "hidden_size": 4, "num_labels": 3}
    return randomize(TextCNNForEmotionRecognition(TextCNNConfig(**sizes, filter_widths=WIDTHS, **fields)))


def transcribe(model: TextCNNForEmotionRecognition, weights: literal.Weights, tokens: torch.Tensor) -> torch.Tensor:
    config = model.config
    fields = {"padding": config.conv_padding, "pool": config.pooling, "pool_size": config.pool_size}
    return literal.text_cnn(weights, tokens, branches=len(WIDTHS), **fields)


@pytest.mark.parametrize("pool_size", [2, 3])
@pytest.mark.parametrize("conv_padding", ["valid", "same"])
@pytest.mark.parametrize("pooling", ["after_concat", "per_branch", "global"])
def test_a1_every_padding_and_pooling(pooling, conv_padding, pool_size):
    """Fixed length, index 0 a word like any other: it is embedded, convolved and trained."""
    model = build(pooling=pooling, conv_padding=conv_padding, pool_size=pool_size, max_length=9)
    mask = torch.tensor([[True, True], [True, False]])
    batch = {"input_ids": torch.randint(12, (2, 2, 9)) * mask.unsqueeze(2), "utterance_mask": mask}
    batch["input_ids"][0, 0, 5:] = 0

    def transcription(weights, dialogue):
        return torch.stack([transcribe(model, weights, tokens) for tokens in batch["input_ids"][dialogue]])

    assert_parity(model, batch, transcription)


@pytest.mark.parametrize("conv_padding", ["valid", "same"])
def test_a1_ragged_words_match_each_utterance_at_its_own_length(conv_padding):
    """With a time mask, steps behind an utterance are as absent as the transcription, which never sees them."""
    model, lengths = build(conv_padding=conv_padding), torch.tensor([[8, 4], [5, 0]])
    text_mask = torch.arange(8) < lengths.unsqueeze(2)  # (B, U, T)
    batch = {
        "input_ids": torch.randint(1, 12, (2, 2, 8)) * text_mask,
        "text_mask": text_mask,
        "utterance_mask": lengths > 0,
    }

    def transcription(weights, dialogue):
        rows = zip(batch["input_ids"][dialogue], lengths[dialogue].tolist(), strict=True)
        return torch.stack([transcribe(model, weights, tokens[:length]) for tokens, length in rows if length])

    assert_parity(model, batch, transcription)


def test_a1_published_number_of_parameters():
    with torch.device("meta"):
        model = TextCNNForEmotionRecognition(TextCNNConfig(pooling="after_concat", num_labels=6))
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_895_056
