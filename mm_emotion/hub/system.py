"""A folder of a saved system, as those read it who publish it."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import safetensors
import torch
from transformers import AutoConfig, AutoModel, AutoProcessor

from mm_emotion.features.processor import EmotionProcessor
from mm_emotion.models.card import modalities_of
from mm_emotion.models.configuration_emotion import EmotionConfig
from mm_emotion.training.confusion import Confusion, read_confusion
from mm_emotion.training.evaluation import LEGACY, read_results
from mm_emotion.training.recipe import Recipe
from mm_emotion.training.saved import recipe_of

SEEDS_FILE = "seeds.csv"
"""Results of all seeds of a recipe beside the `results.csv` of the one that is published."""


@dataclass(frozen=True)
class System:
    """What the files of a saved system say, each read when it is asked for."""

    folder: Path

    @cached_property
    def recipe(self) -> Recipe:
        return recipe_of(self.folder)

    @cached_property
    def config(self) -> EmotionConfig:
        return AutoConfig.from_pretrained(self.folder)

    @cached_property
    def model(self) -> torch.nn.Module:
        """The model without its weights."""
        with torch.device("meta"):
            return AutoModel.from_config(self.config)

    @cached_property
    def processor(self) -> EmotionProcessor:
        return AutoProcessor.from_pretrained(self.folder)

    @cached_property
    def modalities(self) -> list[str]:
        """What the model reads, words counted as text."""
        return modalities_of(self.model)

    @cached_property
    def confusion(self) -> Confusion | None:
        return read_confusion(self.folder)

    @cached_property
    def parameters(self) -> int:
        """Values in the saved weights."""
        total = 0
        for path in self.folder.glob("model*.safetensors"):
            with safetensors.safe_open(path, "pt") as file:
                total += sum(torch.Size(file.get_slice(name).get_shape()).numel() for name in file.keys())  # noqa: SIM118
        return total

    def results(self) -> list[dict[str, str]]:
        """Result rows of all seeds where they are known, else of the saved one."""
        return read_results(self.folder / SEEDS_FILE) or read_results(self.folder / "results.csv")

    def test_values(self) -> dict[str, dict[str, list[float]]]:
        """What chose the epoch -> metric -> its values on the test part, one a seed; strict choices come first."""
        found: dict[str, dict[str, list[float]]] = {}
        for row in sorted(self.results(), key=lambda row: row["selected_on"] == LEGACY):
            if row["fold"] == "test" and not row["metric"].endswith(("_low", "_high")):
                found.setdefault(row["selected_on"], {}).setdefault(row["metric"], []).append(float(row["value"]))
        return found

    def mean_of(self, metric: str) -> float | None:
        """Mean over seeds of a test figure whose epoch was not chosen on the test part; None where there is none."""
        values = [
            float(row["value"])
            for row in self.results()
            if (row["fold"], row["metric"]) == ("test", metric) and row["selected_on"] != LEGACY
        ]
        return sum(values) / len(values) if values else None
