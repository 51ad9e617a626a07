"""What there is to train: every recipe of the package in one table."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mm_emotion.errors import RecipeError, nearest
from mm_emotion.schema import MODALITIES
from mm_emotion.training.recipe import Recipe, list_recipes, load_recipe
from mm_emotion.training.stages import all_stages, build_model


@dataclass(frozen=True)
class Entry:
    """One recipe with what its model eats and whether it needs later utterances."""

    recipe: Recipe
    modalities: tuple[str, ...]
    is_causal: bool

    @property
    def paper(self) -> str:
        """The folder of the recipe, which stands for its paper."""
        return _paper(self.recipe.name)


def entries(paper: str | None = None, modalities: Sequence[str] = ()) -> list[Entry]:
    """The recipes of one paper (all by default) that read all of `modalities`.

    Raises:
        RecipeError: there is no such paper or modality.
    """
    names = list_recipes()
    papers = sorted({_paper(name) for name in names})
    if paper is not None and paper not in papers:
        raise RecipeError("--paper", f"one of {papers}", repr(paper), nearest(paper, papers))
    for modality in modalities:
        if modality not in MODALITIES:
            raise RecipeError("--modality", f"one of {MODALITIES}", repr(modality), nearest(modality, list(MODALITIES)))
    found = [_entry(load_recipe(name)) for name in names if paper in (None, _paper(name))]
    return [entry for entry in found if set(modalities).issubset(entry.modalities)]


def table(found: Sequence[Entry]) -> str:
    """The entries as aligned lines under a head: name, model, modalities, causal, published figures."""
    head = ("recipe", "model", "modalities", "causal", "published")
    rows = [head] + [
        (
            entry.recipe.name,
            entry.recipe.model["model_type"],
            "+".join(entry.modalities),
            "yes" if entry.is_causal else "no",
            ", ".join(f"{metric} {value:,.10g}" for metric, value in entry.recipe.published.items()) or "-",
        )
        for entry in found
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head) - 1)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]) for row in rows
    )


def _paper(name: str) -> str:
    return name.split("/")[0]


def _entry(recipe: Recipe) -> Entry:
    with torch.device("meta"):
        config = build_model(recipe).config
    reads = {
        *config.modalities,
        *(name for stage in all_stages(recipe) for name in (*stage.features, *stage.pretrained)),
    }
    reads = {"text" if key == "input_ids" else key for key in reads}
    return Entry(recipe, tuple(modality for modality in MODALITIES if modality in reads), config.is_causal)
