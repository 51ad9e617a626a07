import pytest
import torch

from mm_emotion.errors import BatchError, ConfigError
from mm_emotion.models import TextTEConfig, TextTEForEmotionRecognition

TINY = {"vocab_size": 12, "embedding_size": 4, "max_length": 5, "num_heads": 2, "key_size": 3, "num_labels": 3}


def build(**options):
    torch.manual_seed(0)
    return TextTEForEmotionRecognition(TextTEConfig(**{**TINY, **options})).eval()


def test_published_parameter_count():
    for options in ({}, {"num_heads": 3, "key_size": 100}, {"num_heads": 1, "key_size": 300}):
        with torch.device("meta"):
            model = TextTEForEmotionRecognition(TextTEConfig(num_labels=6, **options))
        assert sum(parameter.numel() for parameter in model.parameters()) == 1_407_738


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"modality_dims": {"text": 4}}, "modality_dims"),
        ({"input_dropout": 0.1}, "input_dropout"),
        ({"num_heads": 0}, "num_heads"),
        ({"max_length": 0}, "max_length"),
        ({"block_dropout": 1.0}, "block_dropout"),
        ({"norm_epsilon": 0.0}, "norm_epsilon"),
    ],
)
def test_impossible_configurations(options, field):
    with pytest.raises(ConfigError) as error:
        TextTEConfig(**{**TINY, **options})
    assert error.value.field == field


def test_more_words_than_positions_are_refused_and_more_padding_is_not():
    model, ids = build(), torch.ones(1, 1, 7, dtype=torch.long)
    with pytest.raises(BatchError, match="at most 5 words"):
        model(input_ids=ids)
    with pytest.raises(BatchError, match="at most 5 words"):
        model(input_ids=ids, text_mask=torch.arange(7)[None, None] < 6)
    padded = model(input_ids=ids, text_mask=torch.arange(7)[None, None] < 5)
    torch.testing.assert_close(padded.logits, model(input_ids=ids[..., :5]).logits)


def test_a_word_beyond_the_vocabulary_is_refused():
    with pytest.raises(BatchError, match="below 12"):
        build()(input_ids=torch.full((1, 1, 3), 12))


def test_without_mask_the_length_is_fixed():
    with pytest.raises(BatchError):
        build(mask_padding=False)(input_ids=torch.ones(1, 1, 4, dtype=torch.long))


def test_without_its_dense_layer_the_hidden_state_is_the_mean():
    model = build(dense_layer=False)
    ids = torch.randint(1, 12, (2, 3, 4))
    output = model(input_ids=ids)
    assert output.hidden_states.shape == (2, 3, 4) and model.config.representation_size == 4
    torch.testing.assert_close(output.hidden_states.flatten(0, 1), model.body(ids.flatten(0, 1), None))
    torch.testing.assert_close(output.logits, model.classifier(output.hidden_states))


@pytest.mark.parametrize("field", ["dropout", "block_dropout"])
def test_both_dropouts_act_in_training(field):
    model = build(**{"dropout": 0.0, "block_dropout": 0.0, field: 0.5}).train()
    ids = torch.randint(1, 12, (2, 3, 4))
    assert not torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)
