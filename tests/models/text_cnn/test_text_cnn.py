import pytest
import torch

from mm_emotion.errors import ConfigError
from mm_emotion.models import TextCNNConfig, TextCNNForEmotionRecognition

TINY = {
    "vocab_size": 12,
    "embedding_size": 4,
    "num_filters": 3,
    "filter_widths": [2, 3],
    "hidden_size": 5,
    "num_labels": 3,
}


def build(**options):
    torch.manual_seed(0)
    return TextCNNForEmotionRecognition(TextCNNConfig(**{**TINY, **options})).eval()


@pytest.mark.parametrize(
    "options",
    [{"pooling": "after_concat"}, {"pooling": "per_branch", "conv_padding": "same", "max_length": 100}],
)
def test_published_parameter_count(options):
    with torch.device("meta"):
        model = TextCNNForEmotionRecognition(TextCNNConfig(num_labels=6, **options))
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_895_056


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"filter_widths": []}, "filter_widths"),
        ({"filter_widths": [0]}, "filter_widths"),
        ({"modality_dims": {"text": 4}}, "modality_dims"),
        ({"pooling": "after_concat", "max_length": 2, "filter_widths": [3]}, "max_length"),
        ({"pooling": "mean"}, "pooling"),
        ({"word_dropout": 1.0}, "word_dropout"),
    ],
)
def test_impossible_configurations(options, field):
    with pytest.raises(ConfigError) as error:
        TextCNNConfig(**{**TINY, **options})
    assert error.value.field == field


def windows(model, words, index):
    """relu(convolution) of one branch over one utterance, window by window: (steps, F)."""
    convolution = model.convolutions[index]
    width = convolution.kernel_size[0]
    x = model.embedding.weight[words]  # (n, E)
    if model.config.conv_padding == "same":
        left = (width - 1) // 2
        x = torch.cat([x.new_zeros(left, x.shape[1]), x, x.new_zeros(width - 1 - left, x.shape[1])])
    x = torch.cat([x, x.new_zeros(max(width - len(x), 0), x.shape[1])])  # a short utterance fills one window
    steps = [x[start : start + width] for start in range(len(x) - width + 1)]
    return torch.stack([(convolution.weight * step.T).sum((1, 2)) + convolution.bias for step in steps]).relu()


@pytest.mark.parametrize("conv_padding", ["valid", "same"])
@pytest.mark.parametrize("words", [[3, 1, 4, 1, 5], [9, 2], [6]])
def test_global_pooling_is_the_maximum_over_whole_windows(conv_padding, words):
    model = build(conv_padding=conv_padding)
    pooled = torch.cat([windows(model, words, index).amax(0) for index in range(2)])
    expected = model.dense(pooled).relu()
    ids = torch.tensor([[words + [0] * 4]])
    mask = torch.arange(ids.shape[2])[None, None] < len(words)
    torch.testing.assert_close(model(input_ids=ids, text_mask=mask).hidden_states[0, 0], expected)


def pool_by_two(steps):
    return steps[: len(steps) // 2 * 2].reshape(-1, 2, steps.shape[1]).amax(1)


def test_fixed_length_pooling_is_flattened_time_first():
    words = [3, 1, 4, 1, 5, 9, 2]
    ids = torch.tensor([[words]])
    model = build(pooling="after_concat", max_length=7)
    joined = pool_by_two(torch.cat([windows(model, words, index) for index in range(2)]))
    torch.testing.assert_close(model(input_ids=ids).hidden_states[0, 0], model.dense(joined.flatten()).relu())
    model = build(pooling="per_branch", conv_padding="same", max_length=7)
    apart = torch.cat([pool_by_two(windows(model, words, index)).flatten() for index in range(2)])
    torch.testing.assert_close(model(input_ids=ids).hidden_states[0, 0], model.dense(apart).relu())


def test_word_dropout_drops_whole_words_in_training():
    model = build(word_dropout=0.5)
    ids = torch.randint(1, 12, (4, 3, 6))
    still = model(input_ids=ids).logits
    assert torch.equal(model(input_ids=ids).logits, still)
    model.train()
    assert not torch.equal(model(input_ids=ids).logits, still)
    kept = build(word_dropout=0.0).train()
    assert torch.equal(kept(input_ids=ids).logits, build()(input_ids=ids).logits)


def test_a_frozen_embedding_stays_frozen_when_loaded(tmp_path):
    model = build(freeze_embedding=True)
    model.save_pretrained(tmp_path)
    for found in (model, model.train(), TextCNNForEmotionRecognition.from_pretrained(tmp_path)):
        frozen = {name for name, parameter in found.named_parameters() if not parameter.requires_grad}
        assert frozen == {"embedding.weight"}
