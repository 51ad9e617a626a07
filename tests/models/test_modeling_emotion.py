"""Initialisation and checkpoints of the base model."""

import math

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from mm_emotion.errors import CheckpointError
from mm_emotion.models import (
    BCLSTMConfig,
    BCLSTMForEmotionRecognition,
    SequenceStackConfig,
    TextCNNConfig,
    TextTEConfig,
)

CONFIG = {"modality_dims": {"text": 4}, "recurrent_size": 5, "hidden_size": 6, "num_labels": 3}


@pytest.fixture
def saved(tmp_path):
    torch.manual_seed(0)
    model = BCLSTMForEmotionRecognition(BCLSTMConfig(**CONFIG)).eval()
    model.save_pretrained(tmp_path)
    return tmp_path, model


def rewrite(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, {"format": "pt"})


def test_layers_start_as_torch_starts_them():
    torch.manual_seed(0)
    model = BCLSTMForEmotionRecognition(BCLSTMConfig(**{**CONFIG, "recurrent_size": 50, "hidden_size": 200}))
    bound = 1 / math.sqrt(100)  # Linear: uniform in 1 / sqrt(fan in)
    assert 0.95 * bound < model.dense.weight.abs().max() <= bound
    assert model.dense.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
    assert model.dense.bias.any()


def test_the_same_seed_gives_the_same_model():
    models = []
    for _ in range(2):
        torch.manual_seed(7)
        models.append(AutoModel.from_config(BCLSTMConfig(**CONFIG)))
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_missing_head_is_initialised_and_the_rest_kept(saved):
    folder, model = saved
    rewrite(folder, lambda weights: [weights.pop(key) for key in list(weights) if key.startswith("classifier")])
    torch.manual_seed(1)
    loaded, report = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert set(report["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    assert torch.equal(loaded.lstm.weight_hh_l0, model.lstm.weight_hh_l0)
    assert torch.equal(loaded.dense.weight, model.dense.weight)
    bound = 1 / math.sqrt(6)
    assert 0.5 * bound < loaded.classifier.weight.abs().max() <= bound
    assert not torch.equal(loaded.classifier.weight, model.classifier.weight)


@pytest.mark.parametrize("size", [0, 7, 200, -1])
def test_a_truncated_checkpoint_is_refused(saved, size):
    folder, _ = saved
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(CheckpointError) as error:
        AutoModel.from_pretrained(folder)
    assert str(folder) in str(error.value)


def test_noise_is_no_checkpoint(saved):
    folder, _ = saved
    (folder / "model.safetensors").write_bytes(b"not a checkpoint at all, just words" * 20)
    with pytest.raises(CheckpointError):
        AutoModel.from_pretrained(folder)


def test_a_folder_without_weights_is_refused(saved):
    folder, _ = saved
    (folder / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match="safetensors"):
        AutoModel.from_pretrained(folder)


def test_pickled_weights_are_not_read(saved):
    folder, model = saved
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="safetensors"):
        AutoModel.from_pretrained(folder)
    save_file({"step": torch.zeros(1)}, folder / "optimizer.safetensors")
    with pytest.raises(CheckpointError):
        AutoModel.from_pretrained(folder)


def test_another_shape_is_refused(saved):
    folder, _ = saved
    rewrite(folder, lambda weights: weights.update({"dense.weight": torch.zeros(6, 3)}))
    with pytest.raises(CheckpointError):
        AutoModel.from_pretrained(folder)


def test_weights_of_another_model_are_refused(saved):
    folder, _ = saved
    rewrite(folder, lambda weights: (weights.clear(), weights.update({"embedding.weight": torch.zeros(5, 2)})))
    with pytest.raises(CheckpointError, match="another model"):
        AutoModel.from_pretrained(folder)


def test_a_name_that_is_no_folder_keeps_the_error_of_the_hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(OSError):
        BCLSTMForEmotionRecognition.from_pretrained(str(tmp_path / "nowhere"))


def test_a_tuple_on_request(saved):
    _, model = saved
    output = model(text=torch.randn(1, 2, 4), labels=torch.tensor([[0, 1]]), return_dict=False)
    assert isinstance(output, tuple)
    assert [tuple(part.shape) for part in output] == [(), (1, 2, 3), (1, 2, 6)]


def test_gradient_accumulates_over_unequal_parts_to_the_whole(saved):
    _, model = saved
    torch.manual_seed(2)
    text, mask = torch.randn(3, 4, 4), torch.arange(4) < torch.tensor([4, 1, 2])[:, None]
    labels = torch.randint(0, 3, (3, 4)).masked_fill(~mask, -100)
    model.config.class_weights = [1.0, 2.0, 0.5]
    whole = model(text=text, utterance_mask=mask, labels=labels).loss
    terms = []
    for part in (slice(0, 1), slice(1, 3)):
        logits = model(text=text[part], utterance_mask=mask[part]).logits
        terms.append(model.loss_terms(logits, labels[part], mask[part]))
    numerator, denominator = (sum(values) for values in zip(*terms, strict=True))
    assert torch.isclose(whole, numerator / denominator)


@pytest.mark.parametrize(
    "config",
    [
        TextCNNConfig(vocab_size=9, embedding_size=4),
        TextTEConfig(vocab_size=9, embedding_size=4),
        SequenceStackConfig(stages=[{"kind": "embedding", "vocab_size": 9, "size": 4}, {"kind": "lstm", "units": 2}]),
    ],
    ids=lambda config: config.model_type,
)
def test_word_vectors_are_where_transformers_looks_for_them(config):
    model = AutoModel.from_config(config).eval()
    ids = torch.tensor([[[1, 2, 3, 4, 5]]])
    before = model(input_ids=ids).logits
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(torch.randn(9, 4))
    assert not torch.allclose(model(input_ids=ids).logits, before)


def test_a_model_without_words_has_no_word_vectors():
    config = SequenceStackConfig(stages=[{"kind": "lstm", "units": 2}], modality_dims={"audio": 3})
    assert AutoModel.from_config(config).get_input_embeddings() is None
