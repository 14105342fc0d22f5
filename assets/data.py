"""Assets that hold data before any model: what was fetched, and what passed validation."""

from datetime import timedelta

from dagster import FreshnessPolicy

from assets.pools import DVC_POOL
from assets.stage import stage_asset

WEEKLY = FreshnessPolicy.time_window(warn_window=timedelta(days=8), fail_window=timedelta(days=15))
"""The weekly schedule refreshes the data: a week and a day, two weeks and a day."""

raw_data = stage_asset("raw_data", group="data", kinds={"python", "parquet"}, pool=DVC_POOL, freshness=WEEKLY)
validated_splits = stage_asset(
    "validated_splits",
    group="data",
    kinds={"python", "greatexpectations", "parquet"},
    reads=[raw_data],
    pool=DVC_POOL,
    freshness=WEEKLY,
)
