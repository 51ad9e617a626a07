import pytest
import torch

from mm_emotion.errors import ConfigError
from mm_emotion.models import AudioDenseConfig, AudioDenseForEmotionRecognition


@pytest.mark.parametrize(("norm", "count"), [("layer", 638_206), ("batch", 638_206), ("none", 638_006)])
def test_published_parameter_count(norm, count):
    with torch.device("meta"):
        config = AudioDenseConfig(modality_dims={"audio": 6373}, num_labels=6, norm=norm)
        model = AudioDenseForEmotionRecognition(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"modality_dims": {}}, "modality_dims"),
        ({"modality_dims": {"audio": 3, "text": 2}}, "modality_dims"),
        ({"norm": "instance"}, "norm"),
        ({"norm_epsilon": 1}, "norm_epsilon"),
    ],
)
def test_impossible_configurations(options, field):
    with pytest.raises(ConfigError) as error:
        AudioDenseConfig(**{"modality_dims": {"audio": 3}, **options})
    assert error.value.field == field


def test_padding_has_no_part_in_the_batch_norm():
    torch.manual_seed(0)
    config = AudioDenseConfig(modality_dims={"audio": 3}, hidden_size=4, norm="batch")
    model, audio = AudioDenseForEmotionRecognition(config).train(), torch.randn(2, 3, 3)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    found = model(audio=audio, utterance_mask=mask).hidden_states[mask]
    torch.testing.assert_close(found, model(audio=audio[mask][:, None]).hidden_states[:, 0])
