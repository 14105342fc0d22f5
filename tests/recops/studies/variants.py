"""What a variant of a study holds where it changes nothing."""

from typing import Any

AS_IT_IS: dict[str, Any] = {
    "changes": {},
    "added": {},
    "without_tools": [],
    "since": "raw_data",
    "skips": [],
    "rounds": 1,
}
