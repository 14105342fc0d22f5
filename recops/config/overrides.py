"""Other values for keys of a recipe, as a person types them: `grpo_model.steps=30`."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recops.config.recipe import Recipe, parse_recipe
from recops.errors import InputError

_STEP = "Name a key of the recipe with dots, and a value as YAML: grpo_model.steps=30"


def parse_overrides(texts: Sequence[str]) -> dict[str, Any]:
    """Return dotted key -> value of texts like `grpo_model.steps=30`; values are YAML.

    Raises:
        InputError: a text has no key or no value, the value is no YAML, or a key comes twice.
    """
    overrides: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise InputError("override", found=repr(text), expected="KEY=VALUE", next_step=_STEP)
        if key in overrides:
            raise InputError("override", found=f"{key} twice", expected="each key once", next_step="Drop one.")
        try:
            overrides[key] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError("override", found=repr(text), expected="a value that is YAML", next_step=_STEP) from error
    return overrides


def recipe_value(recipe: Recipe, key: str) -> Any:
    """Return the value of a dotted key that `overridden` has accepted, as plain data."""
    value: Any = recipe.model_dump(mode="json")
    for step in key.split("."):
        value = value[step]
    return value


def overridden(recipe: Recipe, overrides: Mapping[str, Any], *, where: Path) -> Recipe:
    """Return the recipe with other values, checked like one that was read from `where`.

    Raises:
        InputError: a key is none of the recipe's, or a value is out of range; `name` stays what it is.
    """
    content: dict[str, Any] = recipe.model_dump(mode="json")
    for key, value in overrides.items():
        *path, last = key.split(".")
        section: Any = content
        for step in path:
            section = section.get(step) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section or key == "name":
            known = ", ".join(section) if isinstance(section, dict) else ", ".join(content)
            raise InputError("override", found=key, expected=f"a key of the recipe, here {known}", next_step=_STEP)
        section[last] = value
    return parse_recipe(content, where=where)
