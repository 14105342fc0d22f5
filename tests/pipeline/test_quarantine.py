"""What is said of rejected rows wherever a person looks: the quarantine, MLflow, and the asset's page in Dagster."""

from pathlib import Path

import polars as pl
from mlflow import MlflowClient

from assets.facts import stage_metadata
from recops.config.recipe import Recipe, parse_recipe
from recops.paths import Layout
from recops.runner import run_stage
from recops.tracking import store_uri
from tests.pipeline.project import RECIPE, tiny_recipe
from tests.recops.data.small_source import meta, raw_tables, review, splits_config, write_lines

INTERACTIONS, ITEMS = raw_tables()
NUM_BAD = 3


def shop_with_bad_rows(folder: Path) -> Recipe:
    """A recipe over published-looking files in which three reviews have a rating that is none."""
    rows = INTERACTIONS.select("user_id", pl.col("item_id").alias("parent_asin"), "timestamp", "rating").to_dicts()
    reviews = [review(**row) for row in rows] + [review(**row | {"rating": 9.0}) for row in rows[:NUM_BAD]]
    write_lines(folder / "reviews.jsonl", reviews)
    write_lines(folder / "meta.jsonl", [meta(parent_asin=item, title=f"Thing {item}") for item in ITEMS["item_id"]])
    source = {"kind": "amazon_reviews_2023", "folder": str(folder), "reviews": "reviews.jsonl", "meta": "meta.jsonl"}
    content = {"raw_data": {"source": source}, "validated_splits": splits_config().model_dump(mode="json")}
    return parse_recipe({**tiny_recipe(), **content}, where=Path(f"{RECIPE}.yaml"))


def test_the_share_of_rejected_rows_is_in_mlflow_and_in_dagsters_metadata_by_table_and_reason(tmp_path: Path) -> None:
    recipe, layout = shop_with_bad_rows(tmp_path), Layout(tmp_path, RECIPE)
    run_stage("raw_data", recipe=recipe, layout=layout)
    result = run_stage("validated_splits", recipe=recipe, layout=layout)

    kept = pl.read_parquet(result.artefact / "quarantine.parquet")
    assert kept["reason"].to_list() == ["rating_out_of_range"] * NUM_BAD
    told = {
        "quarantine_fraction.interactions": NUM_BAD / (len(INTERACTIONS) + NUM_BAD),
        "quarantine_fraction.items": 0.0,
        "quarantine.interactions.rating_out_of_range": NUM_BAD,
    }
    metrics = MlflowClient(tracking_uri=store_uri(tmp_path)).get_run(result.run_id).data.metrics
    assert {name: metrics[name] for name in told} == told
    page = stage_metadata("validated_splits", result.artefact, url=None)
    shares = {name: page[name]["raw_value"] for name in told if name.startswith("quarantine_fraction")}
    assert shares == {name: told[name] for name in shares}
    assert page["rows.quarantine"]["raw_value"] == NUM_BAD
    assert f"| interactions | rating_out_of_range | {NUM_BAD} |" in page["quarantine"]["raw_value"]
