"""Terms of the reward for recops agents: what the shop earns where the agent ranks first, and variety there.

`margin_gain` reads the file named by MARGINS_FILE, a CSV with the columns `item_id` and `margin`, a share of the price
from 0 to 1. The others read the catalogue.
"""

import csv
import os
from functools import cache
from pathlib import Path

from recops.agent.own_rewards import Outcome
from recops.errors import InputError
from recops.metrics import ndcg_at_k, rank_of
from recops.tools.context import ToolContext

FILE_VARIABLE = "MARGINS_FILE"
NUM_PLACES = 3
CUTOFF = 10


def margin_gain(context: ToolContext, outcome: Outcome) -> float:
    """Mean margin of the first three places, as a share of what the best three candidates would bring."""
    margins = _margins(_file())
    best = sorted((margins.get(context.item_id(item), 0.0) for item in context.candidates), reverse=True)
    ranked = [margins.get(context.item_id(item), 0.0) for item in outcome.ranking[:NUM_PLACES]]
    most = sum(best[:NUM_PLACES])
    return sum(ranked) / most if most else 0.0


def price_gain(context: ToolContext, outcome: Outcome) -> float:
    """NDCG@10 of the target times its price, as a share of the price of the dearest candidate."""
    prices = {item: context.item_text.price(item) or 0.0 for item in context.candidates}
    dearest = max(prices.values())
    gain = float(ndcg_at_k(rank_of(outcome.target, outcome.ranking), CUTOFF))
    return gain * prices[outcome.target] / dearest if dearest else 0.0


def variety(context: ToolContext, outcome: Outcome) -> float:
    """Different categories among the first three places, as a share of the places."""
    first = outcome.ranking[:NUM_PLACES]
    return len({context.field(item, "category") for item in first}) / len(first)


def _file() -> Path:
    name = os.environ.get(FILE_VARIABLE)
    if not name:
        step = f"export {FILE_VARIABLE}=/path/to/margins.csv"
        raise InputError(FILE_VARIABLE, found="nothing", expected="a CSV with item_id and margin", next_step=step)
    return Path(name)


@cache
def _margins(file: Path) -> dict[str, float]:
    with file.open(encoding="utf-8", newline="") as lines:
        return {row["item_id"]: float(row["margin"]) for row in csv.DictReader(lines)}
