"""What a tool may look at: one task without its target, the evidence, and how items are written."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops.config.agent import AgentConfig, ItemField
from recops.records import Event, Task, label
from recops.retrieval.evidence import Evidence
from recops.retrieval.item_evidence import Moment
from recops.tools.errors import ToolError
from recops.tools.item_text import ItemText, rating_text

MILLISECONDS_PER_DAY = 86_400_000
MAX_LISTED = 5
"""Items listed in one part of an answer."""


@dataclass(frozen=True, slots=True)
class ToolContext:
    """One task and the read-only services behind its tools; the task's target is 0, so that no tool can tell it.

    Attributes:
        price_limits: prices that part the catalogue into three bands of equal size.
        clean: makes text from outside harmless and short, as every text of the catalogue is made.
    """

    task: Task
    evidence: Evidence
    item_text: ItemText
    agent: AgentConfig
    price_limits: tuple[float, float]
    clean: Callable[[str], str]

    @property
    def now(self) -> int:
        """The sample's time in milliseconds since 1970 (UTC): nothing at or after it may be read."""
        return self.task.sample.timestamp

    @property
    def user_id(self) -> str:
        """The user's id in the source, empty where the moment is nobody's."""
        user = self.task.sample.user
        return str(self.evidence.store.users["user_id"][user]) if user >= 0 else ""

    @property
    def history(self) -> tuple[Event, ...]:
        """Everything that the user took before the target, oldest first."""
        return self.task.sample.history

    @property
    def candidates(self) -> tuple[int, ...]:
        """The items to be ranked; the one at place p is called `label(p)`."""
        return self.task.candidates

    def item_id(self, item: int) -> str:
        """Return the id of an item in the source."""
        return str(self.evidence.store.items["item_id"][item - 1])

    def days_ago(self, event: Event) -> int:
        """Return how many whole days before the sample something happened."""
        return (self.now - event.timestamp) // MILLISECONDS_PER_DAY

    def moment(self) -> Moment:
        """Return when the tool is asked, and the items that it need not find: candidates and history."""
        return Moment(self.now, frozenset((*self.candidates, *(event.item for event in self.history))))

    def line(self, item: int) -> str:
        """Return the recipe's fields of an item on one line."""
        return self.lines([item])[0]

    def lines(self, items: Sequence[int]) -> list[str]:
        """Return the recipe's `tool_fields` of items, a line each."""
        return self.described(items, self.agent.tool_fields)

    def described(self, items: Sequence[int], fields: Sequence[ItemField]) -> list[str]:
        """Return some fields of items, a line each; a rating is the mean of the ratings before the sample."""
        columns = [self._fields(items, name) for name in fields]
        return [" | ".join(column[place] for column in columns) for place in range(len(items))]

    def field(self, item: int, name: ItemField) -> str:
        """Return one field of an item as text; the rating is the mean of the ratings before the sample."""
        return self._fields([item], name)[0]

    def _fields(self, items: Sequence[int], name: ItemField) -> list[str]:
        if name != "rating":
            return [self.item_text.field(item, name) for item in items]
        return [rating_text(mean) for mean in self.evidence.mean_rating(self.task.sample, items).tolist()]

    def order(self, scores: NDArray[np.float64], purpose: str, *, without: int | None = None) -> str:
        """Return the candidates by score, best first, and on a second line those that have none (NaN).

        Args:
            scores: one for each candidate, shape (K,).
            purpose: what tells the order of ties from that of another tool.
            without: a candidate that the order leaves out, the one that was asked about.
        """
        places = [place for place, item in enumerate(self.candidates) if item != without]
        items = [self.candidates[place] for place in places]
        ranked, unknown = self.evidence.order(scores[places], self.task.sample, items, purpose)
        return render_order([label(places[one]) for one in ranked], [label(places[one]) for one in unknown])

    def labels_where(self, chosen: NDArray[np.bool_]) -> list[str]:
        """Return the labels of the candidates for which `chosen`, shape (K,), holds."""
        return [label(int(place)) for place in np.flatnonzero(chosen)]

    def others(self, head: str, items: Sequence[int]) -> list[str]:
        """Return lines that describe items that are no candidates, below a head; none without items."""
        return [f"{head}:", *self.lines(items)] if items else []

    def named_item(self, name: str, value: object) -> int:
        """Return the item that an argument names: a candidate by its letter, or an item of the history by its title.

        Raises:
            ToolError: it names neither.
        """
        labels = [label(place) for place in range(len(self.candidates))]
        written = value.strip() if isinstance(value, str) else ""
        if written in labels:
            return self.candidates[labels.index(written)]
        if len(written) > len(labels[-1]):
            return self._titled(name, written, labels)
        raise ToolError(f"{name}: found {_short(value)}; expected one of {', '.join(labels)}")

    def _titled(self, name: str, title: str, labels: Sequence[str]) -> int:
        asked = self.clean(title).casefold()
        for item in (*self.candidates, *(event.item for event in reversed(self.history))):
            if self.item_text.field(item, "title").casefold() == asked:
                return item
        letters = f"{labels[0]} to {labels[-1]}"
        raise ToolError(f"{name}: found {_short(title)}; expected {letters}, or a title of the history")


def render_order(labels: Sequence[str], unknown: Sequence[str] = ()) -> str:
    """Return what an ordering tool answers: `Order: C A B`, then `Unknown: D E` if there are any."""
    lines = [f"Order:{spaced(labels)}" if labels else "", f"Unknown:{spaced(unknown)}" if unknown else ""]
    return "\n".join(line for line in lines if line)


def spaced(labels: Sequence[str]) -> str:
    """Return each label with a space before it: in every place of a text the same token."""
    return "".join(f" {name}" for name in labels)


def whole_number(name: str, value: object, *, low: int, high: int) -> int:
    """Return an argument that must be a whole number in [low, high].

    Raises:
        ToolError: it is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ToolError(f"{name}: found {_short(value)}; expected {low} to {high}")
    return value


def choice(name: str, value: object, known: Sequence[str]) -> str:
    """Return an argument that must be one of `known`.

    Raises:
        ToolError: it is not.
    """
    if not isinstance(value, str) or value.strip() not in known:
        raise ToolError(f"{name}: found {_short(value)}; expected one of {', '.join(known)}")
    return value.strip()


def words(name: str, value: object, *, longest: int) -> str:
    """Return an argument that must be text with at least one letter or digit, of at most `longest` characters.

    Raises:
        ToolError: it is not.
    """
    if not isinstance(value, str) or len(value) > longest or not any(character.isalnum() for character in value):
        raise ToolError(f"{name}: found {_short(value)}; expected words, at most {longest} characters")
    return value


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
