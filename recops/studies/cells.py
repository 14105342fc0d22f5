"""Runs the cells of a study, each a trial, and keeps what each measured in a small file that can be committed.

A cell that has its file is not run again: a study goes on where it ended, on another day or another machine. The file
holds the rank of the target on every sample, so that tables are made from files alone. N samples.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.artifacts import content_sha256, read_json, write_json
from recops.config.recipe import Recipe
from recops.data.samples import SampleStore, frozen_sha256
from recops.errors import InputError
from recops.evaluate.agent import OWN_CANDIDATES, chosen_samples, player_of, ranking_tasks
from recops.evaluate.measured import BASELINE_RANKINGS, baseline_systems, further_kind
from recops.evaluate.systems import System, agent_facts
from recops.metrics import ABSENT
from recops.retrieval.evidence import Evidence
from recops.runner import flatten
from recops.stage import StageName
from recops.studies.plan import Cell, Study
from recops.trials import TrialStage, run_trial, trial_recipe
from recops.versioning import git_commit

SAMPLES = "samples.json"
_ABSENT_TEXT = "-"
_NO_MATTER = frozenset({"name", "description", "training_seed", "llm_baselines", "promotion"})
"""Sections that no cell depends on, or that each has its own of."""
_MOST_KEYS = 5


@dataclass(frozen=True)
class Measured:
    """What a cell's file holds about one system.

    Attributes:
        ranks: 0-based rank of the target, shape (N,).
        facts: what its episodes show; empty for a baseline.
        minutes: what its cell took: what was there already took none.
        commit: what made it.
    """

    ranks: NDArray[np.int64]
    facts: Mapping[str, float]
    minutes: float
    commit: str


@dataclass(frozen=True)
class Origin:
    """What made a cell: the commit, the values that differed from the recipe, and the minutes that it took."""

    commit: str
    overrides: Mapping[str, Any]
    minutes: float


def run_cell(root: Path, study: Study, cell: Cell, folder: Path) -> Path:
    """Train and measure one cell, and write its file below `folder`; return the file.

    Raises:
        InputError: a stage fails for its input or settings, or the cell meets other samples than those before it.
    """
    started, commit = time.monotonic(), git_commit(root)
    variant, seed = study.variants[cell.variant], {"training_seed": cell.training_seed}
    late = variant.late(trial_recipe(root, cell.recipe, {}))
    tags = {"study": study.name, "variant": cell.variant}

    def made_through(last: StageName) -> dict[StageName, TrialStage]:
        rounds = variant.rounds if last == cell.stage else 1
        parts: Any = {
            "late": late,
            "skipped": variant.skips,
            "rounds": rounds,
            "pipeline": whole_of_cell(study, cell, commit),
        }
        stages = run_trial(root, cell.recipe, seed, through=last, tags=tags, **parts)
        return {stage.name: stage for stage in stages}

    made = made_through(cell.stage)
    overrides = {**late.overrides, **seed}
    recipe = trial_recipe(root, cell.recipe, overrides)
    # What the tools read; a base policy is made without it, but cannot play without it.
    splits, sasrec = (
        (made if name in made else made_through(name))[name].artefact
        for name in ("validated_splits", "sasrec_embeddings")
    )
    evidence = Evidence.load(splits, sasrec, recipe.agent, recipe.seed)
    ids = chosen_samples(evidence.store, study.slice, _max_samples(recipe, study), recipe.seed)
    where = f"{study.name}.further_candidates"
    further = {name: further_kind(evidence.store, name, where=where) for name in study.further_candidates}
    frozen = _frozen(splits, sasrec, further.values())
    protocol = {"slice": study.slice, **frozen, "settings": settings_in_common(trial_recipe(root, cell.recipe, {}))}
    _check_protocol(folder / cell.recipe / SAMPLES, evidence.store, ids, protocol)
    measure = _measure_of(made[cell.stage].artefact, cell.stage, study, recipe, evidence, ids)
    measured = {
        "systems": measure(OWN_CANDIDATES),
        "further_candidates": {name: measure(kind) for name, kind in further.items()},
    }
    content = {
        "commit": commit,
        "fingerprint": made[cell.stage].fingerprint,
        "overrides": overrides,
        "since": variant.since,
        "skips": list(variant.skips),
        "rounds": variant.rounds,
        "minutes": round((time.monotonic() - started) / 60, 1),
        **measured,
    }
    return _write_whole(folder / cell.file, content)


def whole_of_cell(study: Study, cell: Cell, commit: str) -> str:
    """Return what identifies a cell's run in MLflow: a cell that was stopped goes on in it, at the same commit."""
    return f"{study.name}/{cell.file.with_suffix('').as_posix()}@{commit}"


def read_cell(path: Path, negatives: str | None) -> dict[str, Measured]:
    """Return what a cell measured, by system: among the agents' own candidates (None), or others of the study.

    Raises:
        InputError: the file is damaged.
    """
    with _refused_if_damaged(path):
        content = read_json(path)
        systems = content["systems"] if negatives is None else content["further_candidates"][negatives]
        made = float(content["minutes"]), str(content["commit"])
        return {name: Measured(_ranks(one["ranks"]), one["facts"], *made) for name, one in systems.items()}


def read_origin(path: Path) -> Origin:
    """Return what made a cell.

    Raises:
        InputError: the file is damaged.
    """
    with _refused_if_damaged(path):
        content = read_json(path)
        return Origin(str(content["commit"]), dict(content["overrides"]), float(content["minutes"]))


@contextmanager
def _refused_if_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except (AttributeError, ValueError, KeyError, TypeError) as error:
        step = "Remove the file and run the study again."
        raise InputError(path, found=f"{error!r}", expected="the file of a cell", next_step=step) from error


def _frozen(splits: Path, sasrec: Path, further: Iterable[str]) -> dict[str, Any]:
    """Hashes of the candidates that are ranked: equal only for equal sets."""
    hashes = read_json(splits / "splits.json")["further_candidates_sha256"]
    return {
        "candidates_sha256": frozen_sha256(splits, sasrec),
        "further_candidates_sha256": {kind: hashes[kind] for kind in further},
    }


def _max_samples(recipe: Recipe, study: Study) -> int:
    evaluation = recipe.evaluation_reports
    return evaluation.max_samples if study.slice == "test" else evaluation.max_valid_samples


def settings_in_common(recipe: Recipe) -> dict[str, Any]:
    """Return what every cell of a recipe shares but for its variant's changes: the settings of what a study trains."""
    sections = recipe.model_dump(mode="json")
    settings = flatten({key: sections[key] for key in sections if key not in _NO_MATTER})
    # A further baseline is a further row, and changes none.
    return {key: value for key, value in settings.items() if key != "baselines.systems"}


def _check_protocol(path: Path, store: SampleStore, ids_N: NDArray[np.int32], protocol: Mapping[str, Any]) -> None:
    """Write what the cells of a recipe are measured on and made by, or check that it is the same as before."""
    users = [store.sample(int(sample_id)).user for sample_id in ids_N]
    now = {**protocol, "sample_ids": _text(ids_N.tolist()), "users": _text(users)}
    if not path.is_file():
        _write_whole(path, now)
        return
    before = read_json(path)
    anew = f"remove {path.parent} to measure all of it anew."
    if {**before, "settings": None} != {**now, "settings": None}:
        found = f"other samples or candidates ({content_sha256(now)[:12]})"
        step = f"The data, its settings or the protocol changed: {anew}"
        raise InputError(path, found=found, expected="the samples of the cells before", next_step=step)
    if before.get("settings") != now["settings"]:
        found = f"a recipe that has other settings now: {_differing(before.get('settings') or {}, now['settings'])}"
        step = f"Rows of two recipes are no comparison. Put the settings back, or {anew}"
        raise InputError(path, found=found, expected="the settings of the cells before", next_step=step)


def _differing(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    keys = sorted(key for key in {*before, *now} if before.get(key) != now.get(key))
    told = [f"{key} {now.get(key)} (before {before.get(key)})" for key in keys[:_MOST_KEYS]]
    return ", ".join([*told, *([f"and {len(keys) - _MOST_KEYS} more"] if len(keys) > _MOST_KEYS else [])])


def _write_whole(path: Path, content: Any) -> Path:
    """Write a file that is there whole or not at all, for a study may be stopped anywhere."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path.with_suffix(".partial"), content)
    return path.with_suffix(".partial").rename(path)


def _measure_of(
    artefact: Path, stage: StageName, study: Study, recipe: Recipe, evidence: Evidence, ids_N: NDArray[np.int32]
) -> Callable[[str], dict[str, Any]]:
    """Open what a cell measures; return what ranks the samples among candidates of a kind, as a file holds it."""
    if stage == "baselines":
        rankings = pl.read_parquet(artefact / BASELINE_RANKINGS)
        return lambda kind: _contents(
            _baselines(rankings.filter(pl.col("ranked") == kind), study, recipe, ids_N), recipe
        )
    measured = recipe.evaluation_reports
    settings: Any = {"batch_size": measured.batch_size, "constrain_answers": measured.constrain_answers}
    play = player_of(artefact, evidence, recipe.agent, seed=recipe.seed, **settings)

    def played(kind: str) -> dict[str, Any]:
        tasks = ranking_tasks(evidence.store, ids_N, kind)
        return _contents([System.of_agent(stage, play(tasks))], recipe)

    return played


def _baselines(rankings: pl.DataFrame, study: Study, recipe: Recipe, ids_N: NDArray[np.int32]) -> list[System]:
    systems = baseline_systems(rankings, study.slice, ids_N, recipe.agent.num_ranked)
    missing = sorted(set(study.baselines) - {one.name for one in systems})
    if missing:
        step = "Add them to the recipe's baselines.systems, or drop them from the study."
        raise InputError("baselines", found=f"no {', '.join(missing)}", expected="a list", next_step=step)
    return [one for one in systems if one.name in study.baselines]


def _contents(systems: Sequence[System], recipe: Recipe) -> dict[str, Any]:
    return {one.name: _content(one, recipe.agent.num_ranked) for one in systems}


def _content(system: System, num_ranked: int) -> dict[str, Any]:
    ranks = [_ABSENT_TEXT if rank == ABSENT else int(rank) for rank in system.ranks]
    return {"ranks": _text(ranks), "facts": agent_facts(system.episodes, num_ranked)}


def _text(values: Sequence[Any]) -> str:
    """One line for a thousand numbers: a file that a person can still compare with another."""
    return " ".join(map(str, values))


def _ranks(text: str) -> NDArray[np.int64]:
    return np.array([ABSENT if part == _ABSENT_TEXT else int(part) for part in text.split()], dtype=np.int64)


def read_samples(path: Path) -> NDArray[np.int64]:
    """Return the user of each sample, shape (N,).

    Raises:
        InputError: the file is damaged.
    """
    try:
        return np.array([int(part) for part in read_json(path)["users"].split()], dtype=np.int64)
    except (json.JSONDecodeError, KeyError, AttributeError, ValueError) as error:
        step = "Remove the recipe's folder and run the study again."
        raise InputError(path, found=f"{error!r}", expected="the samples of a study", next_step=step) from error
