"""Variables of the environment inside a recipe's values."""

import os
import re

from recops.errors import InputError

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}")


def expand_variables(text: str, *, where: str) -> str:
    """Replace `${NAME}` and `${NAME:-default}` in `text` from the environment.

    Raises:
        InputError: a variable without a default is not set.
    """

    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1], match[2])
        if found is None:
            step = f"Set it: export {match[1]}=..."
            raise InputError(where, found=f"${{{match[1]}}}, which is not set", expected="a value", next_step=step)
        return found

    return _VARIABLE.sub(value, text)
