"""A term of the reward for recops agents: what the shop earns where the agent ranks first.

The file named by MARGINS_FILE is a CSV with the columns `item_id` and `margin`, a share of the price from 0 to 1.
"""

import csv
import os
from functools import cache
from pathlib import Path

from recops.agent.own_rewards import Outcome
from recops.errors import InputError
from recops.tools.context import ToolContext

FILE_VARIABLE = "MARGINS_FILE"
NUM_PLACES = 3


def margin_gain(context: ToolContext, outcome: Outcome) -> float:
    """Mean margin of the first three places, as a share of what the best three candidates would bring."""
    margins = _margins(_file())
    best = sorted((margins.get(context.item_id(item), 0.0) for item in context.candidates), reverse=True)
    ranked = [margins.get(context.item_id(item), 0.0) for item in outcome.ranking[:NUM_PLACES]]
    most = sum(best[:NUM_PLACES])
    return sum(ranked) / most if most else 0.0


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
