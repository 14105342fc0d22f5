"""What all sections of a recipe have in common, and how a YAML file becomes one."""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from recops.errors import InputError

RECIPE_NAME_PATTERN = r"^[a-z][a-z0-9_]{0,40}$"
"""A recipe's name is a file, a folder, a partition and a tag: nothing in it may need quoting anywhere."""


class Section(BaseModel):
    """A frozen part of a recipe. No field has a default: a value belongs in the recipe, where a person sees it."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NamedSection(Section):
    """What a whole file holds, under the file's name."""

    name: str


File = TypeVar("File", bound=NamedSection)


def read_section(path: Path, kind: type[File], *, example: str) -> File:
    """Read and check a YAML file.

    Args:
        path: the file; it lies in a folder of its kind.
        kind: what it must hold.
        example: a file of that kind, which shows every key.

    Raises:
        InputError: the file is missing, is no YAML mapping, or a key is unknown, absent or out of range; all the wrong
            keys are named at once.
    """
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        step = f"There are {known}."
        raise InputError(path, found="no such file", expected=f"a {_noun(kind)}", next_step=step)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(path, found=str(error), expected="YAML", next_step="Mend the syntax.") from error
    if not isinstance(content, dict):
        step = f"Start from {example}."
        raise InputError(path, found=type(content).__name__, expected="a mapping of sections", next_step=step)
    return parse_section(content, kind, where=path, example=example)


def parse_section(content: dict[str, Any], kind: type[File], *, where: Path, example: str) -> File:
    """Check what was read from `where`; its name must be the file's.

    Raises:
        InputError: as `read_section`.
    """
    try:
        section = kind.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(_problem(part) for part in error.errors())
        step = f"Correct the keys; {example} shows every key that exists."
        expected = f"the keys and ranges of a {_noun(kind)}"
        raise InputError(where, found=problems, expected=expected, next_step=step) from error
    if section.name != where.stem:
        step = "Rename the file or change `name`."
        raise InputError(where, found=f"name: {section.name!r}", expected=f"name: {where.stem!r}", next_step=step)
    return section


def _noun(kind: type[NamedSection]) -> str:
    return kind.__name__.lower()


def _problem(part: Any) -> str:
    if not part["loc"]:  # of the whole file, which nobody wants to read again
        return str(part["msg"])
    key = ".".join(str(step) for step in part["loc"])
    found = "" if part["type"] == "missing" else f" (found {part['input']!r})"
    return f"{key}: {part['msg']}{found}"
