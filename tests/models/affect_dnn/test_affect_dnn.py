import pytest
import torch

from mm_emotion.errors import ConfigError
from mm_emotion.models import AffectDNNConfig, AffectDNNForEmotionRecognition

WIDTHS = {"text": 521, "audio": 1000, "visual": 3000}
PUBLISHED = {
    "arousal": ({"audio": [50, 50], "visual": [100, 100], "text": [200, 200]}, 100, 542_601),
    "valence": ({"audio": [200, 200], "visual": [200, 200], "text": [200, 200]}, 200, 1_145_801),
    "liking": ({"audio": [50, 50], "visual": [100, 100], "text": [100, 100]}, 50, 437_701),
}
TINY = {"modality_dims": {"text": 3, "audio": 2}, "layers": {"text": [4, 3], "audio": [2, 5]}, "num_labels": 1}


@pytest.mark.parametrize("dimension", PUBLISHED)
def test_published_parameter_counts(dimension):
    layers, hidden_size, count = PUBLISHED[dimension]
    with torch.device("meta"):
        config = AffectDNNConfig(modality_dims=WIDTHS, layers=layers, hidden_size=hidden_size, num_labels=1)
        model = AffectDNNForEmotionRecognition(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def test_early_fusion_has_layers_as_wide_as_all_together():
    model = AffectDNNForEmotionRecognition(AffectDNNConfig(**TINY, early_fusion=True, hidden_size=7))
    widths = [(part.in_features, part.out_features) for part in model.shared if isinstance(part, torch.nn.Linear)]
    assert widths == [(5, 6), (6, 8)]
    assert (model.fusion.in_features, model.fusion.out_features) == (8, 7)


def test_counts_may_be_compressed():
    torch.manual_seed(0)
    plain = AffectDNNForEmotionRecognition(AffectDNNConfig(**TINY)).eval()
    scaled = AffectDNNForEmotionRecognition(AffectDNNConfig(**TINY, input_scaling="log1p")).eval()
    scaled.load_state_dict(plain.state_dict())
    text, audio = torch.rand(1, 2, 3) * 9, torch.rand(1, 2, 2) * 9
    torch.testing.assert_close(
        scaled(text=text, audio=audio).logits, plain(text=text.log1p(), audio=audio.log1p()).logits
    )


@pytest.mark.parametrize(
    "layers",
    [None, {"text": [4]}, {"text": [4], "audio": [4, 4]}, {"text": [], "audio": []}, {"text": [0], "audio": [1]}],
)
def test_layers_that_do_not_fit_are_refused(layers):
    with pytest.raises(ConfigError, match="layers"):
        AffectDNNConfig(**{**TINY, "layers": layers})
