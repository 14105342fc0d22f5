"""Assets that hold data before any model: what was fetched, and what passed validation."""

from assets.stage import stage_asset

raw_data = stage_asset("raw_data", group="data", kinds={"python", "parquet"})
validated_splits = stage_asset(
    "validated_splits", group="data", kinds={"python", "greatexpectations", "parquet"}, reads=[raw_data]
)
