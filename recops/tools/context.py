"""What a tool may look at: one task, the evidence, and how items are written."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops.config.agent import AgentConfig
from recops.records import Task, label
from recops.retrieval.evidence import Evidence
from recops.tools.errors import ToolError
from recops.tools.item_text import ItemText


@dataclass(frozen=True, slots=True)
class ToolContext:
    """One task and the read-only services behind its tools.

    Attributes:
        price_limits: prices that part the catalogue into three bands of equal size.
    """

    task: Task
    evidence: Evidence
    item_text: ItemText
    agent: AgentConfig
    price_limits: tuple[float, float]

    def order(self, scores: NDArray[np.float64], purpose: str) -> str:
        """Return the candidates by score, best first, and on a second line those that have none (NaN)."""
        ranked, unknown = self.evidence.order(scores, self.task.sample, self.task.candidates, purpose)
        return render_order([label(place) for place in ranked], [label(place) for place in unknown])


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


def _short(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 40 else f"{shown[:37]}..."
