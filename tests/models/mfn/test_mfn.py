import pytest
import torch

from mm_emotion.errors import ConfigError
from mm_emotion.models import MFNConfig, MFNForEmotionRecognition

WIDTHS = {"text": 300, "audio": 74, "visual": 35}


def test_published_sizes():
    """The smaller and the larger published network, counted by hand."""
    best_accuracy = {
        "recurrent_sizes": {"text": 64, "audio": 8, "visual": 80},
        "memory_size": 400,
        **{"attention_size": 128, "proposal_size": 128, "retain_size": 128, "update_size": 128, "hidden_size": 256},
    }
    for options, sizes, (memory, attention, proposal, retain, update, out) in (
        ({}, (88, 48, 16), (128, 128, 64, 256, 64, 64)),
        (best_accuracy, (64, 8, 80), (400, 128, 128, 128, 128, 256)),
    ):
        with torch.device("meta"):
            model = MFNForEmotionRecognition(MFNConfig(modality_dims=WIDTHS, num_labels=6, **options))
        state = sum(sizes)
        cells = sum(4 * h * (d + h) + 8 * h for d, h in zip(WIDTHS.values(), sizes, strict=True))
        networks = sum(
            read * width + width + width * wrote + wrote
            for read, width, wrote in (
                (2 * state, attention, 2 * state),
                (2 * state, proposal, memory),
                (2 * state + memory, retain, memory),
                (2 * state + memory, update, memory),
                (state + memory, out, 6),
            )
        )
        assert model.num_parameters() == cells + networks


def test_an_utterance_ends_at_its_last_real_step():
    torch.manual_seed(0)
    model = MFNForEmotionRecognition(MFNConfig(modality_dims={"text": 3, "audio": 2}, num_labels=3)).eval()
    text, audio = torch.randn(1, 1, 5, 3), torch.randn(1, 1, 5, 2)
    real = (torch.arange(5) < 3)[None, None]
    cut = model(text=text[:, :, :3], audio=audio[:, :, :3]).logits
    torch.testing.assert_close(model(text=text, audio=audio, text_mask=real, audio_mask=real).logits, cut)
    assert not torch.allclose(model(text=text, audio=audio).logits, cut)


def test_a_modality_left_out_of_the_batch_reads_zeros():
    torch.manual_seed(0)
    model = MFNForEmotionRecognition(MFNConfig(modality_dims={"text": 3, "audio": 2}, num_labels=3)).eval()
    text = torch.randn(2, 1, 4, 3)
    torch.testing.assert_close(model(text=text).logits, model(text=text, audio=torch.zeros(2, 1, 4, 2)).logits)


def test_utterances_as_steps_are_the_sequences_of_their_windows():
    torch.manual_seed(0)
    sizes = {"modality_dims": {"text": 3, "audio": 2}, "num_labels": 3, "recurrent_sizes": {"text": 4, "audio": 2}}
    model = MFNForEmotionRecognition(MFNConfig(**sizes, window=2)).eval()
    steps = MFNForEmotionRecognition(MFNConfig(**sizes)).eval()
    steps.load_state_dict(model.state_dict())
    text, audio = torch.randn(2, 5, 3), torch.randn(2, 5, 2)
    real = torch.arange(5) < torch.tensor([[5], [3]])
    found = model(text=text, audio=audio, utterance_mask=real).logits
    for dialogue, utterance in real.nonzero().tolist():
        heard = slice(max(0, utterance - 2), utterance + 1)
        own = steps(text=text[None, None, dialogue, heard], audio=audio[None, None, dialogue, heard]).logits[0, 0]
        torch.testing.assert_close(found[dialogue, utterance], own)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"modality_dims": {}}, "modality_dims"),
        ({"recurrent_sizes": {"mocap": 3}}, "recurrent_sizes"),
        ({"modality_dims": {"mocap": 3}}, "recurrent_sizes['mocap']"),
        ({"recurrent_sizes": {"text": 0}}, "recurrent_sizes['text']"),
        ({"memory_size": 0}, "memory_size"),
        ({"window": 0}, "window"),
        ({"retain_size": 0}, "retain_size"),
        ({"update_dropout": 1.0}, "update_dropout"),
    ],
)
def test_impossible_configurations(change, field):
    with pytest.raises(ConfigError) as error:
        MFNConfig(**{"modality_dims": WIDTHS, **change})
    assert error.value.field == field
