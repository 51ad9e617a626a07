"""What composites share: the configurations of their parts, and what these ask of the batch together."""

import json

import pytest
import torch
from transformers import AutoModel

from mm_emotion.errors import ConfigError
from mm_emotion.models.batch import EmotionBatch
from mm_emotion.models.children import as_data, child_config, common_shapes, common_widths, has_input

WORDS = {"model_type": "text_cnn", "vocab_size": 9, "embedding_size": 2, "num_filters": 2}
VECTORS = {"model_type": "bc_lstm", "modality_dims": {"text": 3, "audio": 2}, "recurrent_size": 2}


def test_data_of_a_configuration_builds_it_again():
    data = as_data(child_config("part", VECTORS))
    assert "transformers_version" not in data
    assert json.loads(json.dumps(data)) == data
    assert as_data(child_config("part", data)) == data


@pytest.mark.parametrize(
    ("child", "hint"), [({}, ""), ({"model_type": "bc_lst"}, "bc_lstm"), ({"model_type": "bert"}, "")]
)
def test_a_part_of_no_known_type_is_refused(child, hint):
    with pytest.raises(ConfigError) as error:
        child_config("part", child)
    assert error.value.field == "part.model_type"
    assert hint in error.value.hint


def test_widths_and_shapes_are_those_of_all_parts():
    configs = [child_config("part", child) for child in (WORDS, VECTORS)]
    assert common_widths(configs, {"visual": 4}) == {"visual": 4, "text": 3, "audio": 2}
    models = [AutoModel.from_config(config) for config in configs]
    shapes = {"input_ids": (None,), "text": (3,), "audio": (2,)}
    assert common_shapes(models) == shapes
    assert common_shapes(models, {"mocap": (1,)}) == shapes | {"mocap": (1,)}
    with pytest.raises(ConfigError, match="audio"):
        common_widths(configs, {"audio": 3})
    with pytest.raises(ConfigError, match="text"):
        common_shapes(models, {"text": (None, 3)})


def test_a_part_has_input_where_any_of_its_modalities_is_there():
    model = AutoModel.from_config(child_config("part", VECTORS))
    present = torch.tensor([[[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]]).bool()  # (1, 3, 4)
    assert has_input(model, EmotionBatch(modality_mask=present)).tolist() == [[True, True, False]]
