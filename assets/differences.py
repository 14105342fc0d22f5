"""What a trial changed: values that differ from the recipe's, and results beside those of its artefacts."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from assets.tables import markdown_table, systems_of
from recops.artifacts import read_json
from recops.config.overrides import recipe_value
from recops.config.recipe import Recipe
from recops.runner import REPORT, flatten

MAX_ROWS = 60


def overrides_table(recipe: Recipe, overrides: Mapping[str, Any]) -> str:
    """Return one row per overridden key: the recipe's value, and the trial's."""
    rows = [[key, str(recipe_value(recipe, key)), str(value)] for key, value in overrides.items()]
    return markdown_table(["key", "recipe", "trial"], rows)


def results_beside(own: Path, trial: Path) -> str:
    """Return every number that differs between the recipe's own artefact and the trial's, as a table."""
    if not (own / REPORT).is_file():
        return "The recipe's own artefact is not there: run the recipe to compare."
    before, after = _numbers(own), _numbers(trial)
    keys = [key for key in after if key in before and before[key] != after[key]]
    if not keys:
        return "Every number is the recipe's own."
    rows = [[key, f"{before[key]:.4g}", f"{after[key]:.4g}", f"{after[key] - before[key]:+.4g}"] for key in keys]
    table = markdown_table(["number", "recipe", "trial", "difference"], rows[:MAX_ROWS])
    return table if len(rows) <= MAX_ROWS else f"{table}\n\nThe first {MAX_ROWS} of {len(rows)}."


def _numbers(folder: Path) -> dict[str, float]:
    """NDCG@10 by system where systems were measured; else every number of the report."""
    metrics = folder / "metrics.json"
    if metrics.is_file():
        return {f"ndcg@10 of {name}": row["ndcg@10"]["mean"] for name, row in systems_of(read_json(metrics)).items()}
    report = flatten(read_json(folder / REPORT))
    return {key: value for key, value in report.items() if isinstance(value, (int, float))}
