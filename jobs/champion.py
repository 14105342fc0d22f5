"""Whether the champion still does on fresh data what it did when it was registered: played, then watched.

After a refresh that the schedule or `new_raw_data` asked for, `play_fresh_data` lets the champion play the newest test
slice. `champion_drop` compares its NDCG@10 with that of its registration, and asks for training where it fell and
`retrain` has not. Both are off until they are started. `champion_moved`, which starts nothing, tells the catalog which
version is champion.
"""

import json
from collections.abc import Iterator

from dagster import (
    DagsterRunStatus,
    DefaultSensorStatus,
    MetadataValue,
    OpExecutionContext,
    PipesSubprocessClient,
    RunRequest,
    RunsFilter,
    RunStatusSensorContext,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    job,
    op,
    run_status_sensor,
    sensor,
)

from assets.champion import new_champion
from assets.children import RETRIES, run_child
from assets.partitions import RECIPES
from assets.pools import TRAINING_POOL
from jobs.asset_jobs import full_pipeline, refresh_data
from jobs.retraining import RETRAIN, TRAINED
from recops.config.recipe import load_recipe
from recops.dvc_file import recorded_recipes
from recops.outdated import outdated_by_data
from recops.paths import Layout, project_root
from recops.tracking import has_store, server_url

PARTITION = "dagster/partition"
ACTIVE = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


@op(pool=TRAINING_POOL, retry_policy=RETRIES)
def play_champion(context: OpExecutionContext, pipes: PipesSubprocessClient) -> None:
    """Let the champion of the run's partition play the newest test slice."""
    recipe = context.partition_key
    done = run_child(context, pipes, "jobs.champion_child", what=f"champion of {recipe}", extras={"recipe": recipe})
    [told] = done.get_custom_messages()
    context.add_output_metadata({**told, "mlflow_run": MetadataValue.url(told["mlflow_run"])})


@job(partitions_def=RECIPES, description="The champion's NDCG@10 on the newest test slice, recorded in MLflow.")
def measure_champion() -> None:
    """Measure one recipe's champion."""
    play_champion()


@run_status_sensor(
    run_status=DagsterRunStatus.SUCCESS,
    monitored_jobs=[refresh_data],
    request_job=measure_champion,
)
def play_fresh_data(context: RunStatusSensorContext) -> RunRequest | SkipReason:
    """After a refresh that the schedule or `new_raw_data` asked for: let the champion, if there is one, play."""
    from recops.registry.model_registry import CHAMPION, ModelRegistry  # MLflow: some seconds, once per process

    run = context.dagster_run
    recipe = run.tags[PARTITION]
    if RETRAIN not in run.tags:
        return SkipReason(f"{recipe}: the refresh {run.run_id[:8]} was started by a person.")
    if ModelRegistry(project_root(), recipe).aliased(CHAMPION) is None:
        return SkipReason(f"{recipe}: no champion.")
    return RunRequest(run_key=run.run_id, partition_key=recipe, tags={RETRAIN: run.tags[RETRAIN]})


@sensor(job=full_pipeline, minimum_interval_seconds=600)
def champion_drop(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
    """Ask for training where a champion lost more than the recipe's margin on fresh data and nothing newer is trained.

    Once per score: a training that failed is not asked for again before the champion has been measured anew.
    """
    looks = [_look(context, recipe) for recipe in recorded_recipes(project_root())]
    yield from (look for look in looks if isinstance(look, RunRequest))
    if not any(isinstance(look, RunRequest) for look in looks):
        yield SkipReason("; ".join(map(str, looks)) or "params.yaml lists no recipe.")


def _look(context: SensorEvaluationContext, recipe: str) -> RunRequest | str:
    """Return the training that a recipe needs, or why it needs none."""
    from recops.registry.scores import champion_scores

    layout = Layout(project_root(), recipe)
    scores = champion_scores(layout.root, recipe)
    if isinstance(scores, str):
        return f"{recipe}: {scores}"
    margin = load_recipe(layout.recipe_file).promotion.margin
    told = f"version {scores.version} had NDCG@10 {scores.registered:.4f}, on fresh data {scores.newest:.4f}"
    if scores.drop <= margin:
        return f"{recipe}: {told}, within the margin {margin}"
    if not outdated_by_data(layout):
        return f"{recipe}: {told}; every model is made from the data that lies there: run the job promote"
    if context.instance.get_runs(RunsFilter(job_name=full_pipeline.name, statuses=ACTIVE, tags={PARTITION: recipe})):
        return f"{recipe}: {told}; a training is under way"
    return RunRequest(
        run_key=f"{recipe} {scores.run_id}",
        partition_key=recipe,
        asset_selection=TRAINED,
        tags={RETRAIN: "champion_drop", "recops/why": told},
    )


@sensor(
    minimum_interval_seconds=300,
    default_status=DefaultSensorStatus.RUNNING,
    description="Tells the catalog of a version that has become champion, whoever made it that.",
)
def champion_moved(context: SensorEvaluationContext) -> SensorResult | SkipReason:
    """Report a materialization of `champion` for each recipe whose alias points to another version than it did."""
    from recops.registry.model_registry import CHAMPION, ModelRegistry

    root, known = project_root(), json.loads(context.cursor or "{}")
    if not has_store(root):
        return SkipReason("no run was recorded yet.")
    aliased = {recipe: ModelRegistry(root, recipe).aliased(CHAMPION) for recipe in recorded_recipes(root)}
    champions = {recipe: one for recipe, one in aliased.items() if one}
    moved = {recipe: one for recipe, one in champions.items() if known.get(recipe) != one.number}
    if not moved:
        told = [f"{recipe}: version {one.number}, as before" for recipe, one in champions.items()]
        return SkipReason("; ".join(told) or "no recipe has a champion.")
    events = [
        new_champion(recipe, one.number, one.tags, f"{server_url()}/#/models/{recipe}/versions/{one.number}")
        for recipe, one in moved.items()
    ]
    cursor = json.dumps({recipe: one.number for recipe, one in champions.items()})
    return SensorResult(asset_events=events, cursor=cursor)
