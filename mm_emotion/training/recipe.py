"""Recipes: one complete YAML file per row of a published table, parsed to frozen dataclasses.

A recipe names a corpus and its split, the features, the model, the training and the protocol. Unknown keys and wrong
types are errors that name the field; `training.learning_rate=1e-3` on the command line goes through the same checker.
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mm_emotion.atomic import replace_file
from mm_emotion.errors import RecipeError, nearest
from mm_emotion.training.naming import changed_name
from mm_emotion.training.parsing import apply_override, build, read_yaml
from mm_emotion.training.recipe_checks import check_recipe, check_seeds
from mm_emotion.training.sections import FITTED, Corpus, Encoder, Paper, Protocol, Recipe, Training

__all__ = [
    "FITTED",
    "RECIPES_FOLDER",
    "Corpus",
    "Encoder",
    "Paper",
    "Protocol",
    "Recipe",
    "Training",
    "check_seeds",
    "list_recipes",
    "load_recipe",
    "parse_recipe",
    "save_recipe",
]

RECIPES_FOLDER = Path(__file__).resolve().parent.parent / "recipes"


def list_recipes() -> list[str]:
    """Names of all recipes in the package, sorted."""
    return sorted(str(path.relative_to(RECIPES_FOLDER).with_suffix("")) for path in RECIPES_FOLDER.rglob("*.yaml"))


def load_recipe(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe by name or file and apply `section.key=value` overrides, which its name then says.

    Raises RecipeError for an unknown name, key, type or value.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else RECIPES_FOLDER / f"{name}.yaml"
    if not path.is_file():
        hint = nearest(name, list_recipes())
        raise RecipeError("recipe", "a name from `mm-emotion list` or a YAML file", repr(name), hint)
    label = path.stem if path.suffix and name.endswith((".yaml", ".yml")) else name
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {name!r}", "a text in UTF-8", error) from error
    recipe = parse_recipe(text, label, overrides)
    if not overrides:
        return recipe
    plain = parse_recipe(text, label)
    return dataclasses.replace(recipe, name=changed_name(plain.to_dict(), recipe.to_dict()))


def parse_recipe(text: str, name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Parse a recipe's YAML; a `name` inside the text wins over the argument."""
    data = read_yaml(f"recipe {name!r}", text)
    if not isinstance(data, dict):
        raise RecipeError(f"recipe {name!r}", "a mapping of sections", type(data).__name__)
    data = {"name": name, **data}
    for override in overrides:
        apply_override(data, override)
    recipe = build(Recipe, data)
    check_recipe(recipe)
    return recipe


def save_recipe(recipe: Recipe, path: Path, resolved: dict[str, Any] | None = None) -> None:
    """Write the recipe, and what the run resolved (class weights, split, versions), as YAML that loads again."""
    text = yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True, width=120)
    if resolved:
        lines = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=110).splitlines()
        text += "# resolved by the run\n" + "".join(f"#   {line}\n" for line in lines)
    with replace_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
