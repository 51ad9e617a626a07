import pytest
import torch

from mm_emotion.errors import ConfigError
from mm_emotion.models import BCLSTMConfig, BCLSTMForEmotionRecognition
from mm_emotion.models.batch import EmotionBatch
from mm_emotion.models.bc_lstm.modeling_bc_lstm import speaker_turns

TINY = {"modality_dims": {"text": 4}, "recurrent_size": 3, "hidden_size": 5, "num_labels": 3}


def build(**options):
    torch.manual_seed(0)
    return BCLSTMForEmotionRecognition(BCLSTMConfig(**{**TINY, **options})).eval()


@pytest.mark.parametrize(("use_attention", "count"), [(False, 423_906), (True, 464_106)])
def test_published_parameter_count(use_attention, count):
    with torch.device("meta"):
        config = BCLSTMConfig(modality_dims={"text": 100}, num_labels=6, use_attention=use_attention)
        model = BCLSTMForEmotionRecognition(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_it_needs_a_modality():
    with pytest.raises(ConfigError, match="modality_dims"):
        BCLSTMConfig(num_labels=3)


def test_packing_is_what_keeps_padding_out():
    text, mask = torch.randn(1, 2, 4), torch.ones(1, 2, dtype=torch.bool)
    padded, padded_mask = torch.cat([text, torch.zeros(1, 3, 4)], 1), torch.tensor([[True, True, False, False, False]])
    for pack in (True, False):
        model = build(pack=pack)
        alone = model(text=text, utterance_mask=mask).logits
        together = model(text=padded, utterance_mask=padded_mask).logits[:, :2]
        assert torch.allclose(alone, together, atol=1e-6) == pack


def test_without_packing_it_is_the_plain_lstm_over_all_steps():
    model = build(pack=False)
    text = torch.cat([torch.randn(1, 2, 4), torch.zeros(1, 1, 4)], 1)
    mask = torch.tensor([[True, True, False]])
    expected = model.classifier(model.dense(model.lstm(text)[0]).relu())
    torch.testing.assert_close(model(text=text, utterance_mask=mask).logits[:, :2], expected[:, :2])


def test_speakers_are_not_read():
    text = torch.randn(1, 3, 4)
    speakers = torch.nn.functional.one_hot(torch.tensor([[0, 1, 0]])).bool()
    assert torch.equal(build()(text=text).logits, build()(text=text, speaker_mask=speakers).logits)


def test_speaker_turns_say_who_spoke_before_and_after():
    mask = torch.tensor([[True, True, True, True], [True, True, False, False]])
    speakers = torch.tensor([[0, 0, 1, 1], [1, 1, 0, 0]])
    speaker_mask = torch.nn.functional.one_hot(speakers, 2).bool() & mask[..., None]
    found = speaker_turns(EmotionBatch(utterance_mask=mask, speaker_mask=speaker_mask))
    assert found.int().tolist() == [[[0, 1], [1, 0], [0, 1], [1, 0]], [[0, 1], [1, 0], [0, 0], [0, 0]]]
