"""What the memory networks have in common: a window, hops, and nothing read beyond the window."""

import pytest
import torch
from transformers import AutoConfig, AutoModel

import mm_emotion.models  # noqa: F401 (registers the families)
from mm_emotion.errors import ConfigError

TINY = {"modality_dims": {"text": 4}, "hidden_size": 5, "num_labels": 3}
every_network = pytest.mark.parametrize("model_type", ["memnet", "cmn", "icon"])


@every_network
@pytest.mark.parametrize(
    ("options", "field"), [({"window": 0}, "window"), ({"hops": 0}, "hops"), ({"modality_dims": {}}, "modality_dims")]
)
def test_impossible_configurations_are_refused(model_type, options, field):
    with pytest.raises(ConfigError, match=field):
        AutoConfig.for_model(model_type, **{**TINY, **options})


@every_network
def test_only_the_window_is_read(model_type):
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **TINY, window=2)).eval()
    text, speakers = torch.randn(1, 5, 4), torch.ones(1, 5, 1, dtype=torch.bool)
    before = model(text=text, speaker_mask=speakers).logits
    text[:, 0] += 1
    after = model(text=text, speaker_mask=speakers).logits
    assert not torch.equal(before[:, :3], after[:, :3])
    assert torch.equal(before[:, 3:], after[:, 3:])


@pytest.mark.parametrize("model_type", ["cmn", "icon"])
def test_their_classifiers_start_near_0(model_type):
    torch.manual_seed(0)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **{**TINY, "hidden_size": 100, "num_labels": 50}))
    assert model.classifier.weight.std().item() == pytest.approx(0.01, rel=0.1)
    assert not model.classifier.bias.any()
