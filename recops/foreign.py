"""Functions of other packages that a recipe names: by dotted name, or by an entry point that the package declares.

Nothing is imported but what is named. Whatever is wrong is said before anything runs.
"""

import hashlib
import importlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from recops.errors import InputError


@dataclass(frozen=True)
class Door:
    """Where functions of one kind come in.

    Attributes:
        where: key of the recipe that names them.
        group: entry point group in which a package declares them.
        kinds: what they are, in the plural, for messages.
        guide: where a whole example stands, as a sentence.
    """

    where: str
    group: str
    kinds: str
    guide: str

    def refused(self, name: str, found: str, expected: str) -> InputError:
        """Return the error that says what keeps a named object from being of this kind."""
        return InputError(self.where, found=f"{name}: {found}", expected=expected, next_step=self.guide)


def load_named(name: str, door: Door, *, ours: Sequence[str]) -> Any:
    """Return what a recipe's name stands for, unchecked.

    Args:
        name: `package.module.function`, or the name of an entry point of the door's group.
        door: what kind of thing it is.
        ours: names that are taken.

    Raises:
        InputError: there is no such module, function or entry point, or its module cannot be imported.
    """
    load = _entry_point(name, door, ours).load if "." not in name else lambda: _attribute(name, door)
    try:
        return load()
    except InputError:
        raise
    except Exception as error:  # whatever a foreign module does when it is imported: the recipe names it, so say which
        found = f"{name}, which cannot be imported ({type(error).__name__}: {error})"
        step = "Install the package into the project's environment, or put its folder on PYTHONPATH."
        expected = "a function of an installed package"
        raise InputError(door.where, found=found, expected=expected, next_step=step) from error


def source_sha256(function: Any) -> str | None:
    """Return the hash of the file that a function was read from, None where there is no such file."""
    file = inspect.getsourcefile(inspect.unwrap(function))
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else None


def _attribute(name: str, door: Door) -> Any:
    module_name, _, function_name = name.rpartition(".")
    module = importlib.import_module(module_name)
    if not hasattr(module, function_name):
        there = [one for one, value in vars(module).items() if inspect.isfunction(value) and one[0] != "_"]
        step = f"Functions there: {', '.join(there) or 'none'}."
        found = f"no {function_name} in {module_name}"
        raise InputError(door.where, found=found, expected="package.module.function", next_step=step)
    return getattr(module, function_name)


def _entry_point(name: str, door: Door, ours: Sequence[str]) -> Any:
    installed = entry_points(group=door.group)
    named = [point for point in installed if point.name == name]
    if not named:
        others = sorted({point.name for point in installed})
        step = f"Known {door.kinds}: {', '.join([*ours, *others]) or 'none'}. {door.guide}"
        raise InputError(door.where, found=name, expected=f"names of known {door.kinds}", next_step=step)
    if len({point.value for point in named}) > 1:
        values = ", ".join(sorted(point.value for point in named))
        step = "Name the function itself, as package.module.function."
        raise InputError(door.where, found=f"{name}, declared as {values}", expected="one declaration", next_step=step)
    return named[0]
