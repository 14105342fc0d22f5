"""The code location: what Dagster knows of this project, on one screen."""

from collections.abc import Iterator

from dagster import (
    AssetSelection,
    Definitions,
    PipesSubprocessClient,
    RunRequest,
    define_asset_job,
    load_assets_from_modules,
    multiprocess_executor,
    schedule,
)

from assets import checks, data, evaluation, policy, retrieval
from recops.dvc_file import recorded_recipes
from recops.paths import project_root

ASSETS = load_assets_from_modules([data, retrieval, policy, evaluation])
SECONDS_TO_CHECKPOINT = 120.0

full_pipeline = define_asset_job(
    "full_pipeline", AssetSelection.assets(*ASSETS), description="Every stage of a recipe."
)
evaluate = define_asset_job(
    "evaluate",
    AssetSelection.assets(evaluation.baselines, evaluation.evaluation_reports),
    description="The baselines and the report again, on the policies that lie there.",
)


@schedule(job=full_pipeline, cron_schedule="0 3 * * 0", execution_timezone="UTC")
def weekly_retraining() -> Iterator[RunRequest]:
    """Retrain every recipe of params.yaml on Sunday night, UTC."""
    for recipe in recorded_recipes(project_root()):
        yield RunRequest(partition_key=recipe)


defs = Definitions(
    assets=ASSETS,
    asset_checks=[
        checks.check_splits,
        checks.check_warnings,
        checks.check_hard_candidates,
        checks.check_drift,
        checks.check_answers,
        checks.check_injection,
    ],
    jobs=[full_pipeline, evaluate],
    schedules=[weekly_retraining],
    resources={"pipes": PipesSubprocessClient(termination_timeout_seconds=SECONDS_TO_CHECKPOINT)},
    # Two steps at once at most; those of the pool `training` one at a time (dagster.yaml).
    executor=multiprocess_executor.configured({"max_concurrent": 2}),
)
