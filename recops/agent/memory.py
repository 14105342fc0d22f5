"""What the prompt remembers of a history that is longer than it shows: a rolling summary, then the last items.

The summary counts what the recipe's `history_fields` say of every item that has left the last ones. Everything here
sees items of the history alone: neither sample nor target nor candidates, so that nothing of them can be remembered.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from recops.config.agent import AgentConfig, CatalogueField, ItemField, SummaryConfig
from recops.tools.item_text import ItemText

HEADER = "History:"

_COUNTED: tuple[CatalogueField, ...] = ("category", "store")
"""Fields whose values repeat; a title is told by its category, numbers by their mean."""

CountTokens = Callable[[str], int]
Describe = Callable[[Sequence[int], Sequence[ItemField]], list[str]]
"""Returns a line for each item with the fields that are asked for."""


@dataclass
class Summary:
    """What is kept of items that no line shows any more."""

    num_items: int = 0
    counts: Counter[tuple[CatalogueField, str]] = field(default_factory=Counter)
    prices: list[float] = field(default_factory=list)

    def add(self, item: int, text: ItemText, fields: Sequence[ItemField]) -> None:
        """Take an item in, as it leaves the last ones."""
        self.num_items += 1
        self.counts.update((name, text.field(item, name)) for name in _COUNTED if name in fields)
        price = text.price(item) if "price" in fields else None
        if price is not None:
            self.prices.append(price)

    def lines(self) -> list[str]:
        """Return the summary, what matters most first: how many items, mean price, what occurs most often."""
        if not self.num_items:
            return []
        price = [f"Mean price: ${sum(self.prices) / len(self.prices):.2f}"] if self.prices else []
        frequent = sorted(self.counts.items(), key=lambda entry: (-entry[1], entry[0]))
        return [f"Earlier items: {self.num_items}", *price, *(f"{value} x{count}" for (_, value), count in frequent)]


def history_lines(
    items: Sequence[int], text: ItemText, agent: AgentConfig, count_tokens: CountTokens, *, describe: Describe
) -> list[str]:
    """Return the lines below `History:`, the last items oldest first; none without `history_fields`.

    With a summary, header and lines have at most `max_tokens`, and as many facts as fit stand before the last items.

    Args:
        items: the whole history, oldest first.
        text: the items in words, for the summary.
        agent: its `history_length`, `history_fields` and `memory`.
        count_tokens: how many tokens a text has for the policy, at most one per byte.
        describe: writes the lines of the last items.
    """
    fields, memory = agent.history_fields, agent.memory
    if not fields:
        return []
    lines = describe(items[-agent.history_length :], fields)
    if memory.kind == "last_items":
        return lines
    lines = _shortened(lines, memory, count_tokens)
    summary = Summary()
    for item in items[: -agent.history_length]:
        summary.add(item, text, fields)
    return [*_fitting(summary.lines(), lines, memory, count_tokens), *lines]


def _fitting(facts: Sequence[str], lines: Sequence[str], memory: SummaryConfig, count_tokens: CountTokens) -> list[str]:
    """Return the longest beginning of `facts` that fits before `lines`."""
    low, high = 0, len(facts)
    while low < high:
        middle = (low + high + 1) // 2
        fits = _fits([*facts[:middle], *lines], memory, count_tokens)
        low, high = (middle, high) if fits else (low, middle - 1)
    return list(facts[:low])


def _shortened(lines: Sequence[str], memory: SummaryConfig, count_tokens: CountTokens) -> list[str]:
    """Return the lines, every one cut after as many characters as let all of them fit: at least one always does."""
    low, high = 1, max(map(len, lines), default=1)
    while low < high:
        middle = (low + high + 1) // 2
        fits = _fits(_cut(lines, middle), memory, count_tokens)
        low, high = (middle, high) if fits else (low, middle - 1)
    return _cut(lines, low)


def _cut(lines: Sequence[str], length: int) -> list[str]:
    return [line[:length].rstrip() for line in lines]


def _fits(lines: Sequence[str], memory: SummaryConfig, count_tokens: CountTokens) -> bool:
    return count_tokens("".join(f"{line}\n" for line in (HEADER, *lines))) <= memory.max_tokens
