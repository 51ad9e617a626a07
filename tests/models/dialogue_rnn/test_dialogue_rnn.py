import pytest
import torch

from mm_emotion.errors import ConfigError
from mm_emotion.models import DialogueRNNConfig, DialogueRNNForEmotionRecognition
from mm_emotion.models.batch import EmotionBatch

VARIANTS = {
    "DialogueRNN": ({}, (4_169_906, 4_519_906, 4_869_906)),
    "DialogueRNN_l": ({"listener_state": True}, (5_822_906, 6_322_906, 6_822_906)),
    "DialogueRNN+Att": ({"use_attention": True}, (4_260_206, 4_610_206, 4_960_206)),
    "BiDialogueRNN": ({"bidirectional": True}, (8_519_806, 9_219_806, 9_919_806)),
    "BiDialogueRNN+Att": ({"bidirectional": True, "use_attention": True}, (8_880_406, 9_580_406, 10_280_406)),
}
TINY = {
    "modality_dims": {"text": 4},
    "global_size": 5,
    "party_size": 3,
    "emotion_size": 2,
    "hidden_size": 6,
    "num_labels": 3,
}


def count(config):
    with torch.device("meta"):
        model = DialogueRNNForEmotionRecognition(config)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("width", [100, 200, 300])
@pytest.mark.parametrize("name", VARIANTS)
def test_published_parameter_counts(name, width):
    options, counts = VARIANTS[name]
    assert count(DialogueRNNConfig(modality_dims={"text": width}, num_labels=6, **options)) == counts[width // 100 - 1]


def test_published_parameter_count_of_the_regression():
    config = DialogueRNNConfig(
        modality_dims={"text": 100},
        num_labels=1,
        problem_type="regression",
        global_size=100,
        party_size=100,
        emotion_size=100,
        hidden_size=100,
        context_attention="simple",
        activation="tanh",
    )
    assert count(config) == 252_101


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"modality_dims": {}}, "modality_dims"),
        ({"context_attention": "dot"}, "global_size"),
        ({"emotion_dropout": 1.0}, "emotion_dropout"),
        ({"attention_size": 0}, "attention_size"),
        ({"activation": "gelu"}, "activation"),
    ],
)
def test_impossible_configurations(options, field):
    with pytest.raises(ConfigError) as error:
        DialogueRNNConfig(**{**TINY, **options})
    assert error.value.field == field


def test_causal_variants():
    causal = {name: DialogueRNNConfig(**TINY, **options).is_causal for name, (options, _) in VARIANTS.items()}
    assert [name for name, value in causal.items() if value] == ["DialogueRNN", "DialogueRNN_l"]


def test_gru_cells_of_torch_give_the_same_states():
    """One dialogue of three utterances, by torch's own cells and the module names of the model."""
    torch.manual_seed(0)
    model = DialogueRNNForEmotionRecognition(DialogueRNNConfig(**TINY, listener_state=True)).eval()
    cell, speakers = model.forward_cell, [0, 1, 0]
    text = torch.randn(1, 3, 4)
    g, e, party, history, hidden = torch.zeros(1, 5), torch.zeros(1, 2), torch.zeros(2, 1, 3), [], []
    for t, s in enumerate(speakers):
        u = text[:, t]
        new_g = cell.global_gru(torch.cat([u, party[s]], 1), g)
        context = torch.zeros(1, 5)
        if history:
            memory = torch.cat(history)
            scores = memory @ cell.context_attention.transform(u)[0]
            context = (scores.softmax(0) @ memory)[None]
        speaking = cell.party_gru(torch.cat([u, context], 1), party[s])
        listening = cell.listener_gru(torch.cat([u, speaking], 1), party[1 - s])
        party = torch.stack([speaking, listening] if s == 0 else [listening, speaking])
        e = cell.emotion_gru(speaking, e)
        g = new_g
        history.append(g)
        hidden.append(model.dense(e).relu())
    mask = torch.nn.functional.one_hot(torch.tensor([speakers])).bool()
    output = model(text=text, speaker_mask=mask)
    torch.testing.assert_close(output.hidden_states[0], torch.cat(hidden), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(output.logits[0], model.classifier(torch.cat(hidden)), atol=1e-6, rtol=1e-5)


def test_recurrent_dropout_is_inside_the_recurrence():
    torch.manual_seed(0)
    options = {"dropout": 0.0, "emotion_dropout": 0.0, "recurrent_dropout": 0.5}
    model = DialogueRNNForEmotionRecognition(DialogueRNNConfig(**TINY, **options)).train()
    text, mask = torch.randn(64, 2, 4), torch.ones(64, 2, 1, dtype=torch.bool)
    gathered = model.gather(EmotionBatch(text=text, speaker_mask=mask))
    kept = model._keep_mask(gathered, 2)
    assert kept.shape == (1, 64, 2, 5 + 3 + 2)
    assert abs(kept.float().mean().item() - 0.5) < 0.05
    first, second = model(text=text, speaker_mask=mask).logits, model(text=text, speaker_mask=mask).logits
    assert not torch.equal(first, second)
    model.config.recurrent_dropout = 0.0
    assert model._keep_mask(gathered, 2) is None


def test_more_parties_than_the_configuration_names_are_fine():
    model = DialogueRNNForEmotionRecognition(DialogueRNNConfig(**TINY, num_parties=2)).eval()
    speakers = torch.nn.functional.one_hot(torch.tensor([[0, 4, 8, 3]]), 9).bool()
    assert model(text=torch.randn(1, 4, 4), speaker_mask=speakers).logits.isfinite().all()
