"""Training seeds in MLflow: the cells of a variant below one run, which has their mean, spread and interval.

The files of the cells are the truth: what was measured on another machine is written here too, and nothing is
read back. Metrics have the names that they have in an evaluation, `systems.SYSTEM.ndcg@10`.

Shape suffixes: N samples, S seeds.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops.artifacts import content_sha256, exclusive, file_sha256
from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.statistics import bootstrap_intervals
from recops.metrics import METRICS
from recops.pipeline_run import PARENT, PIPELINE
from recops.studies.cells import SAMPLES, Measured, Origin, read_cell, read_origin, read_samples, whole_of_cell
from recops.studies.plan import Cell, Study, study_folder
from recops.studies.rows import read_rows
from recops.studies.table import BOOTSTRAP_SEED
from recops.tracking import MlflowTracker, open_client, prepare_store

SWEEP = "sweep"
"""Tag of the run of a variant: STUDY/VARIANT."""
_CONTENT = "cells_sha256"
"""Tag: hash of the files that a run's numbers come from."""


def log_sweep(root: Path, study: Study, recipe: str, variant: str) -> None:
    """Write the cells of a variant that have a file, and what they say together; nothing where that is there already.

    Raises:
        InputError: the file of a cell is damaged.
    """
    folder = study_folder(root, study.name)
    cells = [one for one in study.cells(recipe) if one.variant == variant and (folder / one.file).is_file()]
    if not cells:
        return
    origins = {cell: read_origin(folder / cell.file) for cell in cells}
    experiment, name = prepare_store(root, recipe), f"{study.name}/{variant}"
    client = open_client(root)
    common = {"recipe": recipe, "study": study.name, "variant": variant}
    digest = content_sha256({cell.file.as_posix(): file_sha256(folder / cell.file) for cell in cells})
    with exclusive(root / "checkpoints" / "mlflow.sweep.lock", wait=True):
        sweep = _run(client, experiment, SWEEP, name)
        if sweep.data.tags.get(_CONTENT) == digest:
            return
        told = {**common, PARENT: sweep.info.run_id}
        run_ids = [_log_cell(client, experiment, folder, study, cell, origins[cell], told) for cell in cells]
        _let_go(client, experiment, sweep.info.run_id, run_ids)
        metrics = dict(_sweep_metrics(study, recipe, variant, folder))
        commits = ", ".join(sorted({origin.commit[:7] for origin in origins.values()}))
        _write(
            client, sweep.info.run_id, name, metrics, {**common, "action": SWEEP, "commits": commits, _CONTENT: digest}
        )


def _log_cell(
    client: Any, experiment: str, folder: Path, study: Study, cell: Cell, origin: Origin, tags: dict[str, str]
) -> str:
    """Write a cell to the run below which its stages were trained, or to a new one; return its id."""
    run_id: str = _run(client, experiment, PIPELINE, whole_of_cell(study, cell, origin.commit)).info.run_id
    client.log_param(run_id, "training_seed", str(cell.training_seed))
    metrics = {"minutes": origin.minutes}
    for negatives in (None, *study.further_candidates):
        for system, one in read_cell(folder / cell.file, negatives).items():
            metrics |= _cell_metrics(_prefix(negatives, system), one)
    changed = {f"override.{key}": str(value) for key, value in origin.overrides.items()}
    told = {**tags, **changed, "action": "cell", "measured": cell.stage, "git_commit": origin.commit}
    _write(client, run_id, cell.file.stem, metrics, told)
    return run_id


def _cell_metrics(prefix: str, measured: Measured) -> dict[str, float]:
    ranked = {f"{prefix}.{name}": float(metric(measured.ranks).mean()) for name, metric in METRICS.items()}
    return {**ranked, **{f"{prefix}.{fact}": value for fact, value in measured.facts.items()}}


def _sweep_metrics(study: Study, recipe: str, variant: str, folder: Path) -> Iterator[tuple[str, float]]:
    users_N = read_samples(folder / recipe / SAMPLES)
    for negatives in (None, *study.further_candidates):
        for row in read_rows(study, recipe, folder, negatives):
            of_variant, _, system = row.name.partition("/")
            if of_variant == variant:
                prefix = _prefix(negatives, system)
                yield f"{prefix}.num_seeds", float(len(row.values))
                yield from _over_seeds(f"{prefix}.{MAIN_METRIC}", row.values, study, users_N)
                yield from _over_seeds(f"{prefix}.hr@1", row.hits, study, users_N)
                yield from ((f"{prefix}.{fact}", value) for fact, value in row.facts.items())
                yield f"{prefix}.minutes", row.minutes


def _over_seeds(
    name: str, values_SN: NDArray[np.float64], study: Study, users_N: NDArray[np.int64]
) -> Iterator[tuple[str, float]]:
    """Yield mean, interval over users as in the study's table, and the standard deviation of the seeds' means."""
    settings: Any = {"draws": study.bootstrap_draws, "confidence": study.confidence, "seed": BOOTSTRAP_SEED}
    [one] = bootstrap_intervals(values_SN.mean(axis=0)[:, None], users_N, **settings)
    yield from ((name, one.mean), (f"{name}.low", one.low), (f"{name}.high", one.high))
    if len(values_SN) > 1:
        yield f"{name}.seed_std", float(values_SN.mean(axis=1).std(ddof=1))


def _prefix(negatives: str | None, system: str) -> str:
    return f"systems.{system}" if negatives is None else f"further_candidates.{negatives}.{system}"


def _run(client: Any, experiment: str, tag: str, value: str) -> Any:
    """Return the run that has a tag, created where there is none."""
    found = client.search_runs([experiment], f"tags.{tag} = '{value}'", max_results=1)
    return found[0] if found else client.create_run(experiment, tags={tag: value})


def _write(client: Any, run_id: str, name: str, metrics: dict[str, float], tags: dict[str, str]) -> None:
    """Numbers first, the tags that say that they are there last."""
    MlflowTracker(client, run_id).log_metrics(metrics, step=None)
    client.update_run(run_id, name=name)
    client.set_terminated(run_id)
    for key, value in tags.items():
        client.set_tag(run_id, key, value)


def _let_go(client: Any, experiment: str, sweep: str, cells: Sequence[str]) -> None:
    """Leave cells that were measured anew, at another commit, to themselves: the numbers above are not theirs."""
    for run in client.search_runs([experiment], f"tags.`{PARENT}` = '{sweep}'", max_results=1000):
        if run.info.run_id not in cells:
            client.delete_tag(run.info.run_id, PARENT)
