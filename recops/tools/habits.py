"""How often a user comes back to a category or a store, in a word: it tells which evidence to trust for this user.

Whoever comes back is led by what items are like; whoever does not, by what others take (docs/experiments.md).
"""

from collections.abc import Sequence

from recops.config.agent import ItemField

HABITS: dict[str, ItemField] = {"categories": "category", "stores": "store"}
"""What a user may come back to, as a profile calls it, and the field of an item that holds it."""
TOO_EARLY, NEVER, SOMETIMES, OFTEN = "too early to tell", "never", "sometimes", "often"
HABIT_WORDS = (TOO_EARLY, NEVER, SOMETIMES, OFTEN)
_OFTEN = 0.5
"""Share of the items after the first from which on a habit is called frequent."""
_HEAD = "Comes back to "


def habit_word(values: Sequence[str]) -> str:
    """Return how often a value is one that came before, given the values of a history, oldest first."""
    if len(values) < 2:
        return TOO_EARLY
    share = (len(values) - len(set(values))) / (len(values) - 1)
    if share == 0:
        return NEVER
    return OFTEN if share >= _OFTEN else SOMETIMES


def habit_line(plural: str, word: str) -> str:
    """Return the line of a profile: `Comes back to stores: often`."""
    return f"{_HEAD}{plural}: {word}"


def read_habits(profile: str) -> dict[str, str]:
    """Return the word of each habit that a profile tells, in its order; empty where it tells none."""
    lines = (line.removeprefix(_HEAD) for line in profile.splitlines() if line.startswith(_HEAD))
    return {plural: word for plural, _, word in (line.partition(": ") for line in lines)}
