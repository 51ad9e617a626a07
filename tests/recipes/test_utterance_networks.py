"""Every recipe of an utterance network takes two steps in small: stages, optimiser and selection fit together."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from accelerate import Accelerator

from mm_emotion.data.collator import EmotionCollator
from mm_emotion.data.corpus import load_prepared
from mm_emotion.data.splits import resolve_split
from mm_emotion.training.loop import train
from mm_emotion.training.recipe import list_recipes, load_recipe
from mm_emotion.training.stages import build_model

FAMILIES = ("text_cnn", "text_te", "audio_dense", "video_cnn3d", "sequence_stack")
NAMES = [name for name in list_recipes() if load_recipe(name).model["model_type"] in FAMILIES]
SMALL = {
    **{"vocab_size": 30, "embedding_size": 6, "max_length": 12, "key_size": 3, "feedforward_size": 4, "num_filters": 2},
    **{"frames": 7, "height": 8, "width": 9, "hidden_size": 5},
    **{"units": 3, "filters": 2, "output_size": 3, "first": 1, "count": 8},
}


class Utterances:
    """Made-up utterances of what a model reads, in place of a corpus: ragged where any length will do."""

    def __init__(self, model: torch.nn.Module, count: int):
        random = np.random.default_rng(0)
        self.rows = []
        regression = model.config.problem_type == "regression"
        kinds = model.config.num_labels
        self.labels = random.integers(0, kinds, (count, kinds)[: 1 + regression])
        if regression:
            self.labels = self.labels.astype(np.float32)
        self.dialogue_ids, self.lengths = [str(index) for index in range(count)], [1] * count
        for index in range(count):
            row = {"utterance_id": str(index), "dialogue_id": str(index), "party": 0}
            row |= {"affect": self.labels[index]} if regression else {"label": int(self.labels[index])}
            for key, axes in model.input_shapes().items():
                shape = [int(random.integers(1, 13)) if size is None else size for size in axes]
                values = random.integers(1, 30, shape) if key == "input_ids" else random.random(shape)
                row[key] = values if key == "input_ids" else values.astype(np.float32)
            self.rows.append([row])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, item: int) -> list[dict]:
        return self.rows[item]


def shrunk(settings: dict) -> dict:
    """The same network with small sizes."""
    small = {name: SMALL.get(name, value) for name, value in settings.items()}
    if "modality_dims" in settings:
        small["modality_dims"] = dict.fromkeys(settings["modality_dims"], 20)
    if "stages" in settings:
        small["stages"] = [shrunk(stage) for stage in settings["stages"]]
    return small


@pytest.mark.parametrize("name", NAMES)
def test_two_steps(name, tmp_path):
    recipe = load_recipe(name)
    model = build_model(replace(recipe, model=shrunk(recipe.model)))
    before = {key: value.clone() for key, value in model.named_parameters()}
    utterances = Utterances(model, 8)
    progress = train(
        model,
        utterances,
        {"validation": utterances},
        replace(recipe.training, epochs=1, batch_size=4),
        seed=0,
        folder=tmp_path,
        accelerator=Accelerator(cpu=True),
        collator=EmotionCollator(num_parties=2),
        progress_bar=False,
    )
    assert progress.epoch == 1 and (tmp_path / "best_validation.safetensors").is_file()
    for key, parameter in model.named_parameters():
        assert parameter.isfinite().all()
        assert parameter.requires_grad or torch.equal(parameter, before[key]), key
    assert not torch.equal(model.classifier.weight, before["classifier.weight"])


def test_their_splits_are_known(prepared):
    rows = load_prepared(prepared, "six_way")
    corpora = [load_recipe(name).corpus for name in NAMES]
    for split in {corpus.split for corpus in corpora if corpus.name == "iemocap"}:
        assert resolve_split(rows, split).test
