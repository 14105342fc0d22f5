"""The code location: what Dagster knows of this project, on one screen."""

from dagster import Definitions, PipesSubprocessClient, load_assets_from_modules, multiprocess_executor

from assets import checks, data, evaluation, policy, retrieval
from assets.champion import CHAMPION
from assets.messages import WholeLineReader
from jobs import alerts, champion, retraining
from jobs.ablations import ablations
from jobs.asset_jobs import ASSET_JOBS
from jobs.promotion import promote
from jobs.trial import trial

SECONDS_TO_CHECKPOINT = 120.0
PIPES = PipesSubprocessClient(message_reader=WholeLineReader(), termination_timeout_seconds=SECONDS_TO_CHECKPOINT)

defs = Definitions(
    assets=[*load_assets_from_modules([data, retrieval, policy, evaluation]), CHAMPION],
    asset_checks=[
        checks.check_splits,
        checks.check_warnings,
        checks.check_hard_candidates,
        checks.check_drift,
        checks.check_answers,
        checks.check_injection,
    ],
    jobs=[*ASSET_JOBS.values(), trial, ablations, promote, champion.measure_champion],
    schedules=[retraining.weekly_retraining],
    sensors=[
        retraining.new_raw_data,
        retraining.retrain,
        champion.play_fresh_data,
        champion.champion_drop,
        champion.champion_moved,
        alerts.failed_runs,
    ],
    resources={"pipes": PIPES},
    # Two steps at once at most; those of one pool one at a time (assets/pools.py).
    executor=multiprocess_executor.configured({"max_concurrent": 2}),
)
