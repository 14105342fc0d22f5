"""In which settings, code and libraries some runs differ, read from what their manifests recorded, stage by stage."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recops.compare.runs import STAGE, Run
from recops.runner import flatten

NOT_RECORDED = "not recorded"


@dataclass(frozen=True)
class Setting:
    """One key that is not the same everywhere; a value per run, as text."""

    key: str
    values: tuple[str, ...]


def differing(runs: Sequence[Run]) -> list[Setting]:
    """Return what differs, by key: settings first, then code and libraries.

    A setting that several stages of one run read is one value, unless they were made with different ones.
    """
    told = [_facts(run.manifest) for run in runs]
    keys = list(dict.fromkeys(key for facts in told for key in facts))
    rows = [Setting(key, tuple(facts.get(key, NOT_RECORDED) for facts in told)) for key in keys]
    return [row for row in rows if len(set(row.values)) > 1]


def differing_slices(slices: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[Setting]:
    """Return each time slice that is not the same in all runs, as two weeks' data are not: days and rows per run.

    Args:
        slices: by run, what its `details.json` says of each slice.
    """
    names = dict.fromkeys(name for one in slices for name in one)
    rows = [Setting(f"slice {name}", tuple(_of_slice(one.get(name)) for one in slices)) for name in names]
    return [row for row in rows if len(set(row.values)) > 1]


def _of_slice(facts: Mapping[str, Any] | None) -> str:
    if facts is None:
        return NOT_RECORDED
    days = f"{facts['first']} to {facts['last']}, " if "first" in facts else ""
    return f"{days}{facts['num_interactions']:,} rows"


def _facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Return everything that decided a run, as key -> text; settings sorted by key."""
    stages: dict[str, Mapping[str, Any]] = {**manifest.get("lineage", {}), STAGE: manifest}
    by_key: dict[str, dict[str, str]] = {}
    for stage, made in stages.items():
        for key, value in flatten(made["settings"]).items():
            by_key.setdefault(key, {})[stage] = _text(value)
    code = {f"code of {stage}": made["code_sha256"][:8] for stage, made in sorted(stages.items())}
    libraries = {f"library {name}": version for name, version in sorted(manifest["libraries"].items())}
    return {**{key: _merged(by_key[key]) for key in sorted(by_key)}, **code, **libraries}


def _merged(values: Mapping[str, str]) -> str:
    """Return the one value of all stages, or each with the stages that had it."""
    if len(set(values.values())) == 1:
        return next(iter(values.values()))
    stages: dict[str, list[str]] = {}
    for stage, value in sorted(values.items()):
        stages.setdefault(value, []).append(stage)
    return "; ".join(f"{value} in {', '.join(names)}" for value, names in stages.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
