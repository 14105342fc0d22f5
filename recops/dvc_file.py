"""dvc.yaml and params.yaml: DVC's view of the stage table, generated so that it cannot drift from it."""

from pathlib import Path
from typing import Any

import yaml

from recops.artifacts import exclusive
from recops.stage import STAGES, Stage
from recops.versioning import DVC_FILE, DVC_PARAMS, code_files

METRICS = "metrics.json"
PLOTS = {
    "plots/ndcg.csv": {
        "template": "bar_horizontal_sorted",
        "x": "ndcg_at_10",
        "y": "system",
        "title": "NDCG@10 on the test samples",
    }
}
"""File of evaluation_reports -> how DVC plots it."""

_ITEM = "${item.recipe}"
_HEADER = "# Generated from recops/stage.py and params.yaml by: recops dvc-yaml\n"
_PARAMS_HEADER = "# The recipes that DVC runs and records; `recops run --recipe R` adds R.\n"


def recorded_recipes(root: Path) -> list[str]:
    """Return the recipes that params.yaml lists."""
    content = yaml.safe_load((root / DVC_PARAMS).read_text(encoding="utf-8"))
    return list(content["recipes"])


def record_recipe(root: Path, recipe: str) -> bool:
    """Add a recipe to params.yaml, and with it to dvc.yaml; return whether it was new there."""
    with exclusive(root / "checkpoints" / "params.lock", wait=True):
        recipes = recorded_recipes(root)
        if recipe in recipes:
            return False
        text = _PARAMS_HEADER + yaml.safe_dump({"recipes": [*recipes, recipe]})
        (root / DVC_PARAMS).write_text(text, encoding="utf-8")
        write_dvc_file(root)
        return True


def write_dvc_file(root: Path) -> Path:
    """Write dvc.yaml below `root` and return its path."""
    path = root / DVC_FILE
    path.write_text(dvc_file_text(recorded_recipes(root)), encoding="utf-8")
    return path


def dvc_file_text(recipes: list[str]) -> str:
    """Return the content of dvc.yaml: every stage as a matrix over the recipes, and what DVC compares per recipe."""
    content: dict[str, Any] = {"stages": {stage.name: _stage(stage) for stage in STAGES.values()}}
    folders = [_path(STAGES["evaluation_reports"], recipe) for recipe in recipes]
    content["metrics"] = [f"{folder}/{METRICS}" for folder in folders]
    content["plots"] = [{f"{folder}/{name}": axes} for folder in folders for name, axes in PLOTS.items()]
    return _HEADER + yaml.safe_dump(content, sort_keys=False, width=120)


def _stage(stage: Stage) -> dict[str, Any]:
    return {
        "desc": stage.description,
        "matrix": {"recipe": "${recipes}"},
        "cmd": f"python -m recops.stages {stage.name} --recipe {_ITEM}",
        "deps": [*(_path(STAGES[name], _ITEM) for name in stage.reads), *code_files(stage.name)],
        "params": [{f"recipes/{_ITEM}.yaml": [*stage.shared, stage.name]}],
        "outs": [_path(stage, _ITEM)],
    }


def _path(stage: Stage, recipe: str) -> str:
    """Path of an artefact relative to the root; `Layout` cannot be asked, for DVC's `${item}` is no recipe's name."""
    return f"{stage.root}/{recipe}/{stage.name}"
