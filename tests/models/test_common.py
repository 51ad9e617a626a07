"""Every family of MODELS, in small, against what the batch contract promises."""

import copy
import dataclasses
import json

import pytest
import torch
from transformers import AutoConfig, AutoModel

from mm_emotion.errors import BatchError, ConfigError
from mm_emotion.models import MODELS
from mm_emotion.models.batch import EmotionBatch
from mm_emotion.ops import use_reference_ops
from mm_emotion.schema import BATCH_KEYS, IGNORE_INDEX, MODALITIES, TIME_MASKS

LENGTHS = [4, 1, 3]
TEXT_CNN = {"vocab_size": 20, "embedding_size": 6, "num_filters": 4, "filter_widths": [2, 3], "hidden_size": 5}
BC_LSTM = {"modality_dims": {"audio": 3, "text": 4}, "recurrent_size": 5, "hidden_size": 12}
SIZES = {"global_size": 5, "party_size": 4, "emotion_size": 3, "hidden_size": 12, "attention_size": 3}
DIALOGUE_RNN = {"modality_dims": {"visual": 2, "text": 4}, **SIZES}
REGRESSION = {"context_attention": "simple", "activation": "tanh", "problem_type": "regression"}
ENCODER = {"model_type": "text_cnn", **TEXT_CNN}
CLSTM = {
    "modality_dims": {"text": 4, "audio": 3},
    "recurrent_size": 4,
    "unimodal_size": 4,
    "hidden_size": 8,
    "dropout": 0.0,
    "recurrent_dropout": 0.0,
}
MEMORY = {"modality_dims": {"text": 4, "audio": 2}, "hidden_size": 5, "window": 8, "dropout": 0.0}
AFFECT_DNN = {
    "modality_dims": {"text": 4, "audio": 2},
    "layers": {"text": [12, 12], "audio": [12, 12]},
    "problem_type": "regression",
    "hidden_size": 16,
}
HIERARCHY = {
    "encoders": [ENCODER, ENCODER],
    "streams": ["text", "text"],
    "dialogue": {"model_type": "dialogue_rnn", **SIZES, "modality_dims": {"text": 10, "audio": 2}, "num_labels": 3},
}
LOG_PROBABILITIES = {
    "encoders": [{**ENCODER, "num_labels": 3}],
    "streams": ["text"],
    "outputs": ["log_probabilities"],
    "vectors": {"text": 4},
    "dialogue": {"model_type": "bc_lstm", "recurrent_size": 4, "modality_dims": {"text": 7}, "num_labels": 3},
}
AUDIO = {"model_type": "bc_lstm", "modality_dims": {"audio": 3}, "recurrent_size": 3, "hidden_size": 4, "num_labels": 3}
JOINT = {"children": [ENCODER, AUDIO], "hidden_size": 12}
EXPERTS = {"children": [{**ENCODER, "num_labels": 3}, AUDIO]}
TFN = {"modality_dims": {"text": 4, "audio": 3, "visual": 2}, "hidden_size": 8, "text_output_size": 3}
TFN |= {"subnet_sizes": {"text": 5, "audio": 6, "visual": 6}}
MFN = {"modality_dims": {"text": 4, "audio": 3, "mocap": 2}, "recurrent_sizes": {"text": 5, "audio": 3, "mocap": 2}}
TEXT_TE = {"vocab_size": 20, "embedding_size": 6, "max_length": 6, "num_heads": 2, "key_size": 3, "hidden_size": 5}
AUDIO_DENSE = {"modality_dims": {"audio": 4}, "hidden_size": 8}
CLIP = {"frames": 5, "height": 7, "width": 6, "num_filters": 4, "kernel_size": 2, "pool_size": 2, "hidden_size": 8}
WORDS = {"kind": "embedding", "vocab_size": 20, "size": 6}
DENSE = {"kind": "dense", "units": 8, "activation": "tanh"}
BOTH_WAYS = {"kind": "lstm", "units": 4, "output": "steps", "bidirectional": True}
DECODER = {"kind": "attention_decoder", "units": 5, "output_size": 4, "bidirectional": True}
SAME = {"kind": "conv1d", "filters": 3, "kernel_size": [2, 3], "padding": "same", "activation": "relu"}
VALID = {"kind": "conv1d", "filters": 5, "kernel_size": 2, "stride": 2}
MAXIMA = {"kind": "pool", "reduce": "max", "size": 2}
MEAN = {"kind": "pool", "reduce": "mean"}
SQUARE = {"kind": "conv2d", "filters": 3, "kernel_size": 3, "stride": 2, "padding": "same", "activation": "relu"}
PICTURE = {"kind": "expand", "axis": "channels"}
RECURRENT = {"model_type": "sequence_stack", "stages": [BOTH_WAYS, MEAN, DENSE], "modality_dims": {"audio": 7}}
EARLY = {"modality_dims": {"text": 4, "visual": 3}}
BERT = {
    **{"model_type": "bert", "vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 12, "max_position_embeddings": 40},
}
PRETRAINED = {"backbone": {**BERT, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}}
WAV2VEC2 = {
    **{"model_type": "wav2vec2", "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2},
    **{"intermediate_size": 12, "conv_dim": [6, 6], "conv_kernel": [2, 2], "conv_stride": [1, 1]},
    **{"num_conv_pos_embeddings": 3, "num_conv_pos_embedding_groups": 2, "mask_time_prob": 0.0, "layerdrop": 0.0},
    **{"hidden_dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "feat_proj_dropout": 0.0},
}
SPEECH = {"modality": "audio", "backbone": {**WAV2VEC2, "feat_extract_norm": "layer", "do_stable_layer_norm": True}}
END_TO_END = {
    "encoders": [{"model_type": "pretrained_encoder", **PRETRAINED, "previous_turns": 1}],
    "streams": ["text"],
    "vectors": {"text": 2},
    "dialogue": {"model_type": "bc_lstm", "recurrent_size": 4, "modality_dims": {"text": 10, "audio": 2}},
}
ONE_STEP = {
    "encoders": [{"model_type": "text_te", **TEXT_TE}],
    "streams": ["text"],
    "dialogue": {
        "model_type": "sequence_stack",
        "stages": [{"kind": "expand", "axis": "steps"}, {"kind": "pool", "reduce": "mean"}, DENSE],
        "modality_dims": {"text": 5},
        "input_kind": "vector",
        "num_labels": 3,
    },
}
TINY = {
    "text_cnn": {
        "global": TEXT_CNN,
        "same": {**TEXT_CNN, "conv_padding": "same"},
        "after_concat": {**TEXT_CNN, "pooling": "after_concat", "max_length": 6},
        "per_branch": {**TEXT_CNN, "pooling": "per_branch", "conv_padding": "same", "max_length": 6},
    },
    "text_te": {
        "masked": TEXT_TE,
        "fixed": {**TEXT_TE, "mask_padding": False, "initialization": "keras"},
        "mean": {**TEXT_TE, "dense_layer": False},
    },
    "audio_dense": {
        "layer": AUDIO_DENSE,
        "batch": {**AUDIO_DENSE, "norm": "batch", "norm_position": "after_activation"},
        "none": {**AUDIO_DENSE, "norm": "none"},
    },
    "video_cnn3d": {"plain": CLIP, "checkpointing": {**CLIP, "gradient_checkpointing": True}},
    "sequence_stack": {
        "words": {"stages": [WORDS, SAME, BOTH_WAYS, {"kind": "lstm", "units": 5, "bidirectional": True}]},
        "decoder": {"stages": [BOTH_WAYS, DECODER, MEAN, DENSE], "modality_dims": {"audio": 4}},
        "windows": {"stages": [VALID, MAXIMA, MEAN, DENSE], "modality_dims": {"audio": 4}},
        "fixed": {
            "stages": [BOTH_WAYS, {"kind": "norm", "over": "layer"}, {"kind": "flatten"}, DENSE],
            "modality_dims": {"mocap": 3},
            "max_length": 6,
            "mask_padding": False,
            "initialization": "keras",
        },
        "picture": {
            "stages": [PICTURE, SQUARE, SQUARE, {"kind": "flatten"}, DENSE],
            "modality_dims": {"mocap": 5},
            "max_length": 6,
        },
        "vector": {
            "stages": [PICTURE, VALID, {"kind": "norm", "over": "batch"}, {"kind": "flatten"}, DENSE],
            "modality_dims": {"audio": 8},
            "input_kind": "vector",
        },
    },
    "pretrained_encoder": {
        "words": {**PRETRAINED, "normalize": True},
        "weighted": {**PRETRAINED, "layer": "weighted", "pooling": "cls", "projection_size": 8},
        "turns": {**PRETRAINED, "previous_turns": 2, "max_length": 9, "pooling": "last"},
        "speech": {**SPEECH, "pooling": "max"},
        "whole sounds": {"modality": "audio", "backbone": WAV2VEC2},
    },
    "bc_lstm": {
        "plain": BC_LSTM,
        "attention": {**BC_LSTM, "use_attention": True},
        "turns": {**BC_LSTM, "speaker_turns": True},
        "forward": {**BC_LSTM, "bidirectional": False},
    },
    "dialogue_rnn": {
        "plain": DIALOGUE_RNN,
        "listener": {**DIALOGUE_RNN, "listener_state": True},
        "attention": {**DIALOGUE_RNN, "use_attention": True},
        "bidirectional": {**DIALOGUE_RNN, "bidirectional": True},
        "both": {**DIALOGUE_RNN, "bidirectional": True, "use_attention": True, "context_attention": "general2"},
        "concat": {**DIALOGUE_RNN, "bidirectional": True, "context_attention": "concat"},
        "dot": {**DIALOGUE_RNN, "context_attention": "dot", "global_size": 6},
        "regression": {**DIALOGUE_RNN, **REGRESSION},
        "concordance": {**DIALOGUE_RNN, **REGRESSION, "loss": "ccc", "num_labels": 2},
    },
    "clstm": {
        "plain": CLSTM,
        "regression": {**CLSTM, "problem_type": "regression"},
    },
    "memnet": {"plain": MEMORY, "short window": {**MEMORY, "window": 2}},
    "cmn": {"plain": MEMORY, "short window": {**MEMORY, "window": 2}},
    "icon": {
        "plain": MEMORY,
        "short window": {**MEMORY, "window": 2},
        "regression": {**MEMORY, "problem_type": "regression"},
    },
    "affect_dnn": {"late": AFFECT_DNN, "early": {**AFFECT_DNN, "early_fusion": True}},
    "hierarchical": {
        "two encoders": HIERARCHY,
        "log probabilities": LOG_PROBABILITIES,
        "stack": ONE_STEP,
        "pretrained": END_TO_END,
    },
    "early_fusion": {
        "vectors": {**EARLY, "stack": {**BC_LSTM, "model_type": "bc_lstm", "modality_dims": {"mocap": 7}}},
        "sequences": {**EARLY, "stack": RECURRENT},
        "projection": {**EARLY, "projection_size": 5, "stack": {**RECURRENT, "modality_dims": {"text": 5}}},
        "bounded": {**EARLY, "stack": RECURRENT, "problem_type": "regression", "output_range": [-4.0, 4.0]},
    },
    "joint": {"plain": JOINT, "no layer": {**JOINT, "fusion_layer": False}, "norm": {**JOINT, "joint_norm": True}},
    "late_fusion": {
        "average": EXPERTS,
        "weighted": {**EXPERTS, "rule": "weighted", "weights": [0.3, 0.7]},
        "product": {**EXPERTS, "rule": "product", "class_prior": [0.5, 0.3, 0.2]},
        "exclude_self": {**EXPERTS, "rule": "product", "exclude_self": True},
    },
    "tfn": {
        "three": TFN,
        "vectors": {**TFN, "text_input": "vector"},
        "two": {**TFN, "modality_dims": {"audio": 4, "mocap": 3}, "subnet_sizes": {"audio": 6, "mocap": 5}},
        "regression": {**TFN, "problem_type": "regression", "output_range": [-3.0, 3.0]},
    },
    "mfn": {"plain": {**MFN, "memory_size": 7}, "regression": {**MFN, "problem_type": "regression", "loss": "mae"}},
    "linear": {
        "classes": {"modality_dims": {"text": 12, "audio": 9}},
        "regression": {"modality_dims": {"text": 16}, "problem_type": "regression"},
    },
}
CASES = [
    pytest.param(config_class, options, id=f"{config_class.model_type}-{name}")
    for config_class, _ in MODELS
    for name, options in TINY[config_class.model_type].items()
]
every_family = pytest.mark.parametrize(("config_class", "options"), CASES)


def build(config_class, options, **more):
    torch.manual_seed(0)
    config = config_class(**{"num_labels": 3, **options, **more})
    return AutoModel.from_config(config).eval()


def make_batch(model, lengths=LENGTHS, parties=2, steps=6, seed=1):
    """A random ragged batch of what the model reads; axes of any size get `steps`, ragged under a mask."""
    generator = torch.Generator().manual_seed(seed)
    count, longest = len(lengths), max(lengths)
    lead = (count, longest)
    mask = torch.arange(longest) < torch.tensor(lengths)[:, None]
    batch = {"utterance_mask": mask, "modality_mask": mask[..., None].repeat(1, 1, 4)}
    for key, axes in model.input_shapes().items():
        shape = (*lead, *(steps if size is None else size for size in axes))
        if key == "input_ids":
            batch[key] = torch.randint(1, 20, shape, generator=generator).masked_fill(~mask[..., None], 19)
        else:
            batch[key] = torch.randn(shape, generator=generator)
        if axes[0] is None:
            real = torch.randint(1, steps + 1, (*lead, 1), generator=generator)
            batch["text_mask" if key == "input_ids" else f"{key}_mask"] = torch.arange(steps) < real
    speakers = torch.randint(0, parties, lead, generator=generator)
    batch["speaker_mask"] = torch.nn.functional.one_hot(speakers, parties).bool() & mask[..., None]
    if model.config.problem_type == "regression":
        labels = torch.randn(*lead, model.config.num_labels, generator=generator)
        batch["labels"] = labels.masked_fill(~mask[..., None], float("nan"))
    else:
        labels = torch.randint(0, model.config.num_labels, lead, generator=generator)
        batch["labels"] = labels.masked_fill(~mask, IGNORE_INDEX)
    return batch


def pad(tensor, axis, amount, value):
    shape = list(tensor.shape)
    shape[axis] = amount
    return torch.cat([tensor, tensor.new_full(shape, value)], axis)


def close(left, right, tolerance=2e-6):
    torch.testing.assert_close(left, right, atol=tolerance, rtol=1e-5)


def test_every_family_has_a_tiny_configuration():
    assert set(TINY) == {config_class.model_type for config_class, _ in MODELS}


def test_batch_fields_are_the_contract():
    assert tuple(field.name for field in dataclasses.fields(EmotionBatch)) == BATCH_KEYS


@every_family
def test_extra_padding_changes_no_real_logit_and_not_the_loss(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model)
    before = model(**batch)
    padded = {}
    for key, value in batch.items():
        fill = 9.0 if value.is_floating_point() else 0
        if key == "labels":
            fill = float("nan") if value.is_floating_point() else IGNORE_INDEX
        padded[key] = pad(value, 1, 2, fill)
    ragged = [key for key, axes in model.input_shapes().items() if axes[0] is None]
    for key in ragged + [f"{'text' if key == 'input_ids' else key}_mask" for key in ragged]:
        padded[key] = pad(padded[key], 2, 3, 0 if padded[key].dtype == torch.bool else 7)
    after = model(**padded)
    real = batch["utterance_mask"]
    close(after.logits[:, : real.shape[1]][real], before.logits[real])
    close(after.loss, before.loss)
    assert not after.logits[~padded["utterance_mask"]].any()
    assert not after.hidden_states[~padded["utterance_mask"]].any()


@every_family
def test_renaming_parties_changes_nothing(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model, parties=3)
    renamed = {**batch, "speaker_mask": batch["speaker_mask"][..., [2, 0, 1]]}
    absent = {**batch, "speaker_mask": pad(batch["speaker_mask"], 2, 1, False)}
    expected = model(**batch).logits
    close(model(**renamed).logits, expected)
    close(model(**absent).logits, expected)


@every_family
def test_is_causal_says_whether_later_utterances_matter(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model)
    changed = {key: value.clone() for key, value in batch.items()}
    for key in model.input_shapes():
        changed[key][:, 2:] = 1 if key == "input_ids" else 1.0
    before, after = model(**batch).logits, model(**changed).logits
    assert not torch.equal(before[:, 2:], after[:, 2:])
    assert torch.allclose(before[:, :2], after[:, :2], atol=1e-6) == model.config.is_causal


@every_family
def test_a_causal_model_gives_step_by_step_what_it_gives_on_the_whole(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model, lengths=[4, 4], parties=3)
    utterances = [{key: value[:, t : t + 1] for key, value in batch.items() if key != "labels"} for t in range(4)]
    if not model.config.is_causal:
        with pytest.raises(ConfigError, match="is_causal"):
            model.step(utterances[0])
        return
    expected, state = model(**batch).logits, None
    for t, utterance in enumerate(utterances):
        logits, state = model.step(utterance, state)
        close(logits[:, 0], expected[:, t])


@every_family
def test_every_parameter_gets_a_finite_gradient(config_class, options):
    model = build(config_class, options).train()
    model(**make_batch(model)).loss.backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not missing
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    assert all(parameter.grad.any() for name, parameter in model.named_parameters() if name.endswith("weight"))


@every_family
def test_one_utterance_leaves_no_parameter_out(config_class, options):
    # A process whose batch has no context must still take part in the sum of gradients of all processes.
    model = build(config_class, options).train()
    model(**make_batch(model, lengths=[1], parties=1)).loss.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())


@every_family
def test_save_and_load_give_bit_equal_logits(config_class, options, tmp_path):
    model = build(config_class, options)
    batch = make_batch(model)
    model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    loaded, report = AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert type(loaded) is type(model)
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert torch.equal(loaded(**batch).logits, model(**batch).logits)


@every_family
def test_configuration_survives_json(config_class, options):
    config = config_class(**{"num_labels": 3, **options})
    data = json.loads(config.to_json_string())
    again = AutoConfig.for_model(**json.loads(json.dumps(data, sort_keys=True)))
    assert type(again) is config_class
    assert again.to_dict() == config.to_dict()


@every_family
def test_padding_carries_no_gradient(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model)
    real = batch["utterance_mask"]
    features = [batch[key].requires_grad_() for key in batch if key in MODALITIES]
    if "input_ids" in batch:
        batch["input_ids"][real] = batch["input_ids"][real].clamp(max=18)  # word 19 stands on padding alone
    output = model(**batch)
    (output.loss + output.hidden_states.square().sum() + output.logits.sum()).backward()
    for values in features:
        assert not values.grad[~real].any()
        assert values.grad[real].any()
    for table in (module for module in model.modules() if isinstance(module, torch.nn.Embedding)):
        if table.num_embeddings != 20:  # places and kinds of words, not words
            continue
        assert not table.weight.grad[[0, 19]].any()
        assert table.weight.grad.any()


@every_family
def test_a_dialogue_alone_gives_what_it_gives_in_a_batch(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model)
    together = model(**batch).logits
    for row, length in enumerate(LENGTHS):
        alone = {key: value[row : row + 1, :length] for key, value in batch.items()}
        close(model(**alone).logits, together[row : row + 1, :length])


@every_family
@pytest.mark.parametrize("axis", [0, 1])
def test_a_batch_without_dialogues_or_utterances_is_refused_by_name(config_class, options, axis):
    model = build(config_class, options)
    empty = {key: value.narrow(axis, 0, 0) for key, value in make_batch(model).items()}
    with pytest.raises(BatchError, match="at least one dialogue, utterance and step"):
        model(**empty)


@every_family
def test_left_out_masks_mean_all_real(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model, lengths=[3, 3], parties=1)
    needed = [*model.input_shapes(), *TIME_MASKS, "speaker_mask"]
    bare = {key: batch[key] for key in needed if key in batch}
    close(model(**bare).logits, model(**batch).logits)


@every_family
def test_missing_modality_reads_zeros(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model)
    batch["modality_mask"][0, 1] = False
    poisoned, zeroed = dict(batch), dict(batch)
    for key in model.input_shapes():
        poisoned[key], zeroed[key] = batch[key].clone(), batch[key].clone()
        poisoned[key][0, 1] = 3 if key == "input_ids" else float("nan")
        zeroed[key][0, 1] = 0
    output = model(**poisoned)
    assert output.logits.isfinite().all()
    assert torch.equal(output.logits, model(**zeroed).logits)


@every_family
def test_reference_and_fast_ops_agree(config_class, options):
    model = build(config_class, options).double().train()
    batch = make_batch(model)
    gradients = []
    for reference in (False, True):
        model.zero_grad()
        torch.manual_seed(3)
        if reference:
            with use_reference_ops():
                loss = model(**batch).loss
        else:
            loss = model(**batch).loss
        loss.backward()
        gradients.append([loss.detach(), *(parameter.grad.clone() for parameter in model.parameters())])
    for fast, slow in zip(*gradients, strict=True):
        torch.testing.assert_close(fast, slow, atol=1e-12, rtol=1e-9)


@every_family
def test_nothing_to_learn_from_is_a_loss_of_zero(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model)
    batch["labels"] = torch.full_like(
        batch["labels"], IGNORE_INDEX if batch["labels"].dtype == torch.int64 else torch.nan
    )
    loss = model(**batch).loss
    loss.backward()
    assert loss.item() == 0
    assert not any(parameter.grad.any() for parameter in model.parameters())


@every_family
def test_bfloat16_is_finite_and_close(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model)
    expected = model(**batch).logits
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model(**batch)
    lowered = copy.deepcopy(model).to(torch.bfloat16)
    for run, output in ((model, mixed), (lowered, lowered(**batch))):
        output.loss.backward()
        assert output.loss.isfinite()
        assert all(parameter.grad.isfinite().all() for parameter in run.parameters())
        torch.testing.assert_close(output.logits.float(), expected, atol=0.1, rtol=0.1)


@every_family
def test_attentions_come_on_request(config_class, options):
    model = build(config_class, options)
    batch = make_batch(model)
    assert model(**batch).attentions is None
    for weights in model(**batch, output_attentions=True).attentions or ():
        sums = weights.detach().sum(-1)
        assert torch.allclose(sums.round(), sums, atol=1e-5)
        over_padding = weights.masked_fill(batch["utterance_mask"][:, None], 0)
        assert not over_padding.any()


@pytest.mark.slow
@every_family
def test_overfits_eight_utterances(config_class, options):
    torch.manual_seed(0)
    model = build(config_class, options, dropout=0.0)
    batch = make_batch(model, lengths=[4, 1, 3])
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    first = model(**batch).loss.item()
    for _ in range(300):
        optimizer.zero_grad()
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * first
