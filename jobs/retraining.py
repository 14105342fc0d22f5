"""When a recipe is retrained: every week or when its source's files change, and only if the data came out different.

A schedule or a sensor starts `refresh_data` with a tag that says why. When such a run has succeeded, `retrain` compares
the data with what the models were made from, and asks for everything else, or skips and says that nothing changed.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from dagster import (
    AssetKey,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunStatusSensorContext,
    ScheduleEvaluationContext,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    run_status_sensor,
    schedule,
    sensor,
)

from jobs.asset_jobs import full_pipeline, refresh_data
from recops.config.recipe import load_recipe
from recops.data.source_versions import SourceVersion, made_from, source_version
from recops.dvc_file import recorded_recipes
from recops.errors import InputError
from recops.outdated import DATA, data_sha256, outdated_by_data
from recops.paths import Layout, project_root
from recops.stage import STAGE_NAMES

TRAINED = [AssetKey(name) for name in STAGE_NAMES if name not in DATA]
"""What is made from the data."""
RETRAIN = "recops/retrain"
"""Tag of a run of `refresh_data` that is to be followed by training; its value says who asked."""


@schedule(job=refresh_data, cron_schedule="0 3 * * 0", execution_timezone="UTC")
def weekly_retraining(context: ScheduleEvaluationContext) -> Iterator[RunRequest | SkipReason]:
    """Refresh the data of every recipe of params.yaml on Sunday night, UTC; `retrain` then trains what changed."""
    recipes = recorded_recipes(project_root())
    if not recipes:
        yield SkipReason("params.yaml lists no recipe: `recops run --recipe R` adds one.")
    for recipe in recipes:
        key = f"{recipe} {context.scheduled_execution_time:%Y-%m-%d %H:%M}"
        yield RunRequest(run_key=key, partition_key=recipe, tags={RETRAIN: "weekly_retraining"})


@sensor(job=refresh_data, minimum_interval_seconds=600)
def new_raw_data(context: SensorEvaluationContext) -> SensorResult:
    """Refresh a recipe of params.yaml when its source's files hold other content than `raw_data` was read from.

    The cursor holds the version of each recipe's files that was seen last: files that did not change are not read
    again, and a version whose refresh failed is not asked for twice.
    """
    root = project_root()
    seen = {recipe: SourceVersion(**one) for recipe, one in json.loads(context.cursor or "{}").items()}
    looks = {recipe: _look(Layout(root, recipe), seen.get(recipe)) for recipe in recorded_recipes(root)}
    requests = [
        RunRequest(partition_key=recipe, tags={RETRAIN: "new_raw_data"})
        for recipe, look in looks.items()
        if look.is_new
    ]
    cursor = {recipe: vars(look.version) for recipe, look in looks.items() if look.version}
    words = "; ".join(f"{recipe}: {look.words}" for recipe, look in looks.items())
    skipped = None if requests else SkipReason(words or "params.yaml lists no recipe.")
    return SensorResult(run_requests=requests, skip_reason=skipped, cursor=json.dumps(cursor))


@dataclass(frozen=True)
class _Look:
    """What the sensor found of one recipe; `version` is None where there are no files to look at."""

    words: str
    version: SourceVersion | None = None
    is_new: bool = False


def _look(layout: Layout, seen: SourceVersion | None) -> _Look:
    try:
        source = load_recipe(layout.recipe_file).raw_data.source
        if source.kind == "simulated_store":
            return _Look("its source reads no files")
        now = source_version(source, layout.root, seen)
    except InputError as error:
        return _Look(str(error), seen)
    read = made_from(layout)
    if read is None:
        return _Look("never run: start it once", now)
    if now.sha256 == read:
        return _Look("the files are those that raw_data was read from", now)
    if seen and now.sha256 == seen.sha256:
        return _Look("the files are new, and a refresh was asked for", now)
    return _Look("the files are new", now, is_new=True)


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[refresh_data],
    request_job=full_pipeline,
    default_status=DefaultSensorStatus.RUNNING,
)
def retrain(context: RunStatusSensorContext) -> RunRequest | SkipReason:
    """After a refresh that the schedule or `new_raw_data` asked for: train what was made from other data, or skip."""
    run = context.dagster_run
    recipe = run.tags["dagster/partition"]
    if RETRAIN not in run.tags:
        return SkipReason(f"{recipe}: the refresh {run.run_id[:8]} was started by a person, who asked for no training.")
    layout = Layout(project_root(), recipe)
    outdated = outdated_by_data(layout)
    if not outdated:
        return SkipReason(
            f"{recipe}: nothing changed, every model was made from raw_data {data_sha256(layout, 'raw_data')[:12]} "
            f"and validated_splits {data_sha256(layout, 'validated_splits')[:12]}, which lie there."
        )
    context.log.info(f"{recipe}: {'; '.join(map(str, outdated))}")
    return RunRequest(
        run_key=run.run_id,
        partition_key=recipe,
        asset_selection=TRAINED,
        tags={RETRAIN: run.tags[RETRAIN], "recops/refreshed_by": run.run_id},
    )
