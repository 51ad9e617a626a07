import pytest
import torch

from mm_emotion.errors import ConfigError
from mm_emotion.models import CLSTMConfig, CLSTMForEmotionRecognition

TINY = {"recurrent_size": 3, "unimodal_size": 2, "hidden_size": 4, "num_labels": 3}


def test_a_modality_reaches_the_others_only_above_its_own_context():
    torch.manual_seed(0)
    model = CLSTMForEmotionRecognition(CLSTMConfig(**TINY, modality_dims={"text": 4, "audio": 2})).eval()
    assert list(model.unimodal_lstms) == ["text", "audio"]
    assert model.lstm.input_size == 4
    alone = model(text=torch.randn(1, 3, 4)).logits
    assert alone.isfinite().all()


def test_the_published_sizes_are_the_default():
    with torch.device("meta"):
        model = CLSTMForEmotionRecognition(CLSTMConfig(modality_dims={"text": 100}, num_labels=2))
    assert (model.lstm.hidden_size, model.dense.out_features, model.unimodal_dense["text"].out_features) == (
        300,
        500,
        100,
    )


@pytest.mark.parametrize("field", ["recurrent_size", "unimodal_size"])
def test_impossible_sizes_are_refused(field):
    with pytest.raises(ConfigError, match=field):
        CLSTMConfig(**{**TINY, field: 0}, modality_dims={"text": 4})
