import pytest
import torch

from mm_emotion.errors import ConfigError
from mm_emotion.models import CMNConfig, CMNForEmotionRecognition

TINY = {"modality_dims": {"text": 4}, "hidden_size": 5, "num_labels": 3}


@pytest.mark.parametrize(("options", "field"), [({"window": 0}, "window"), ({"hops": 0}, "hops")])
def test_impossible_sizes_are_refused(options, field):
    with pytest.raises(ConfigError, match=field):
        CMNConfig(**TINY, **options)


def test_it_needs_a_modality():
    with pytest.raises(ConfigError, match="modality_dims"):
        CMNConfig(num_labels=3)


def test_only_the_window_is_read():
    torch.manual_seed(0)
    model = CMNForEmotionRecognition(CMNConfig(**TINY, window=2)).eval()
    text, speakers = torch.randn(1, 5, 4), torch.ones(1, 5, 1, dtype=torch.bool)
    before = model(text=text, speaker_mask=speakers).logits
    text[:, 0] += 1
    after = model(text=text, speaker_mask=speakers).logits
    assert not torch.equal(before[:, :3], after[:, :3])
    assert torch.equal(before[:, 3:], after[:, 3:])
