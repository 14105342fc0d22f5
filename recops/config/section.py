"""What all sections of a recipe have in common."""

from pydantic import BaseModel, ConfigDict

RECIPE_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,40}$"
"""A recipe's name is a file, a folder, a partition and a tag: nothing in it may need quoting anywhere."""


class Section(BaseModel):
    """A frozen part of a recipe. No field has a default: a value belongs in the recipe, where a person sees it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
