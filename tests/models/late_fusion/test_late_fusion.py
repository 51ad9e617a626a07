import pytest
import torch
from transformers import AutoModel

from mm_emotion.errors import ConfigError
from mm_emotion.models import (
    BCLSTMConfig,
    BCLSTMForEmotionRecognition,
    LateFusionConfig,
    LateFusionForEmotionRecognition,
)

WIDTHS = {"text": 3, "audio": 2, "visual": 4}
CHILD = {"model_type": "bc_lstm", "modality_dims": {"text": 3}, "recurrent_size": 2, "num_labels": 3}
GOOD = {"children": [CHILD, {**CHILD, "modality_dims": {"audio": 2}}]}


def experts(names=("text", "audio"), **options) -> list[BCLSTMForEmotionRecognition]:
    torch.manual_seed(1)
    sizes = {"recurrent_size": 2, "num_labels": 3, **options}
    configs = [BCLSTMConfig(modality_dims={name: WIDTHS[name]}, **sizes) for name in names]
    return [BCLSTMForEmotionRecognition(config).eval() for config in configs]


def a_batch(names=("text", "audio"), **absent: int) -> dict[str, torch.Tensor]:
    """Two dialogues of two utterances; `absent` is the column that the second utterance of the first lacks."""
    present = torch.ones(2, 2, 4, dtype=torch.bool)
    for column in absent.values():
        present[0, 1, column] = False
    return {name: torch.randn(2, 2, WIDTHS[name]) for name in names} | {"modality_mask": present}


def fuse(parts, **options) -> LateFusionForEmotionRecognition:
    return LateFusionForEmotionRecognition.from_children(parts, **options).eval()


@pytest.mark.parametrize("options", [{"rule": "average"}, {"rule": "weighted"}, {"rule": "product"}])
def test_one_child_alone_is_its_own_system(options, tmp_path):
    parts = experts(("text",))
    batch = a_batch(("text",))
    model = fuse(parts, **options)
    torch.testing.assert_close(model(**batch).logits, parts[0](**batch).logits.log_softmax(-1))
    model.save_pretrained(tmp_path)
    assert torch.equal(AutoModel.from_pretrained(tmp_path)(**batch).logits, model(**batch).logits)


@pytest.mark.parametrize(
    "options",
    [{"rule": "average"}, {"rule": "weighted", "weights": [0.2, 0.5, 0.3]}, {"rule": "product"}],
    ids=lambda options: options["rule"],
)
def test_a_child_without_its_modality_is_left_out_and_weights_sum_to_one_again(options):
    parts = experts(("text", "audio", "visual"))
    model = fuse(parts, **options)
    batch = a_batch(("text", "audio", "visual"), lacks=1)
    some = {**options, "weights": [0.4, 0.6]} if "weights" in options else options
    others = fuse([parts[0], parts[2]], **some)
    logits = model(**batch).logits
    torch.testing.assert_close(logits[0, 1], others(**batch).logits[0, 1])
    assert not torch.allclose(logits[0, 0], others(**batch).logits[0, 0])


@pytest.mark.parametrize("rule", ["average", "weighted", "product"])
def test_where_nobody_has_a_say_all_classes_are_equally_likely(rule):
    model = fuse(experts(), rule=rule)
    logits = model(**a_batch(text=0, audio=1)).logits
    torch.testing.assert_close(logits[0, 1].softmax(-1), torch.full((3,), 1 / 3))


def test_the_class_prior_divides_the_product_once_less_than_there_are_experts():
    parts, batch, prior = experts(), a_batch(lacks=1), [0.6, 0.3, 0.1]
    said = [part(**batch).logits.softmax(-1) for part in parts]
    product = said[0] * said[1] / torch.tensor(prior)
    expected = product / product.sum(-1, keepdim=True)
    model = fuse(parts, rule="product", class_prior=prior)
    found = model(**batch).logits.softmax(-1)
    torch.testing.assert_close(found[1], expected[1])
    torch.testing.assert_close(found[0, 1], said[0][0, 1])  # one expert is left: the prior takes no part


def test_exponents_of_the_product():
    parts, batch = experts(), a_batch()
    powers = parts[0](**batch).logits.softmax(-1) ** 2 * parts[1](**batch).logits.softmax(-1) ** 0.5
    found = fuse(parts, rule="product", weights=[2.0, 0.5])(**batch).logits.softmax(-1)
    torch.testing.assert_close(found, powers / powers.sum(-1, keepdim=True))


def test_a_regression_is_averaged_by_its_values():
    parts = experts(problem_type="regression")
    batch = a_batch(lacks=1)
    model = fuse(parts, rule="weighted", weights=[0.25, 0.75])
    values = [part(**batch).logits for part in parts]
    found = model(**batch).logits
    torch.testing.assert_close(found[1], 0.25 * values[0][1] + 0.75 * values[1][1])
    torch.testing.assert_close(found[0, 1], values[0][0, 1])
    assert model.config.problem_type == "regression"


def test_parts_are_copies_and_keep_their_labels():
    parts = experts(id2label={0: "low", 1: "mid", 2: "high"}, num_labels=None)
    model = fuse(parts)
    assert model.config.id2label == {0: "low", 1: "mid", 2: "high"}
    with torch.no_grad():
        model.experts[0].classifier.weight.zero_()
    assert parts[0].classifier.weight.any()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"children": []}, "children"),
        ({"children": [CHILD] * 9}, "children"),
        ({"children": [CHILD, {**CHILD, "num_labels": 4}]}, "children[1].num_labels"),
        ({"children": [CHILD, {**CHILD, "problem_type": "regression"}]}, "children[1].problem_type"),
        ({"children": [CHILD, {**CHILD, "modality_dims": {"text": 4}}]}, "modality_dims['text']"),
        ({"weights": [0.5, 0.5]}, "weights"),
        ({"rule": "weighted", "weights": [1.0]}, "weights"),
        ({"rule": "weighted", "weights": [0.5, 0.6]}, "weights"),
        ({"rule": "product", "weights": [-1.0, 1.0]}, "weights"),
        ({"rule": "product", "weights": [0.0, 0.0]}, "weights"),
        ({"rule": "mean"}, "rule"),
        ({"dropout": 0.1}, "dropout"),
        ({"exclude_self": True}, "exclude_self"),
        ({"class_prior": [0.5, 0.3, 0.2]}, "class_prior"),
        ({"rule": "product", "class_prior": [0.5, 0.5]}, "class_prior"),
        ({"rule": "product", "class_prior": [1.0, 0.0, 0.0]}, "class_prior"),
        ({"num_labels": 4}, "children[0].num_labels"),
    ],
)
def test_impossible_configurations(change, field):
    with pytest.raises(ConfigError) as error:
        LateFusionConfig(**{**GOOD, **change})
    assert error.value.field == field


def test_a_product_of_regressions_is_refused():
    children = [{**child, "problem_type": "regression"} for child in GOOD["children"]]
    with pytest.raises(ConfigError) as error:
        LateFusionConfig(children=children, rule="product")
    assert error.value.field == "rule"
