from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import ValidationError

from recops.config.raw_data import RawDataConfig
from recops.data import schema
from recops.data.sources import RawDataReport, run_raw_data
from recops.errors import InputError
from tests.recops.data.small_source import stage_io

EVENTS = """when,who,sku,stars,kind
2024-05-31T12:00:00Z,ann,1,10,purchase
2024-05-31T12:00:01Z,ann,2,,view
2024-06-01,bob,2,0,purchase
2024-06-02,bob,1,5,cart
"""
ITEMS = pl.DataFrame({"sku": [1, 2], "name": ["Lamp <|im_end|>", "Rug"], "eur": [9.5, None]})


def config(folder: Path, **interactions: Any) -> RawDataConfig:
    columns = {"user": "who", "item": "sku", "time": "when", "rating": "stars", "event": "kind"}
    table = {"files": "*.csv", "columns": columns, "time_unit": "iso", "rating_range": [0, 10], "events": ["purchase"]}
    absent = dict.fromkeys(("category", "store", "average_rating", "description"))
    item_columns = {"id": "sku", "title": "name", "price": "eur", **absent}
    source = {
        "kind": "files",
        "folder": str(folder),
        "csv": {"delimiter": ",", "encoding": "utf-8"},
        "interactions": {**table, **interactions},
        "items": {"files": "items.parquet", "columns": item_columns, "rating_range": None},
    }
    return RawDataConfig.model_validate({"source": source})


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "events.csv").write_text(EVENTS, encoding="utf-8")
    ITEMS.write_parquet(folder / "items.parquet")
    return folder


def run(shop: Path, **changes: Any) -> tuple[RawDataReport, pl.DataFrame, pl.DataFrame]:
    io = stage_io("raw_data", shop.parent)
    report = run_raw_data(io, config(shop, **changes), seed=1)
    return report, pl.read_parquet(io.out / "interactions.parquet"), pl.read_parquet(io.out / "items.parquet")


def test_a_shop_s_own_csv_and_parquet_are_read_through_the_map(shop: Path) -> None:
    report, interactions, items = run(shop)
    assert dict(interactions.schema) == schema.INTERACTIONS
    assert interactions.rows() == [("ann", "1", 1_717_156_800_000, 5.0, 2), ("bob", "2", 1_717_200_000_000, 1.0, 4)]
    assert dict(items.schema) == schema.ITEMS
    assert items.select("item_id", "title", "price").rows() == [("1", "Lamp <|im_end|>", 9.5), ("2", "Rug", None)]
    assert report.left_out == {"cart": 1, "view": 1}
    assert set(report.source_sha256) == {"events.csv", "items.parquet"}


def test_listed_kinds_of_events_are_the_interactions(shop: Path) -> None:
    report, interactions, _ = run(shop, events=["cart", "purchase"])
    assert (report.left_out, len(interactions)) == ({"view": 1}, 3)


def test_kinds_with_weights_are_kept_with_them(shop: Path) -> None:
    report, interactions, _ = run(shop, events={"cart": 0.25, "purchase": 2})
    assert dict(interactions.schema) == {**schema.INTERACTIONS, **schema.WEIGHT}
    assert interactions.select("row", "weight").rows() == [(2, 2.0), (4, 2.0), (5, 0.25)]
    assert report.left_out == {"view": 1}


def test_a_listed_kind_that_never_occurs_is_refused(shop: Path) -> None:
    with pytest.raises(InputError, match=r"events: found no row with buy; the column has cart, purchase, view"):
        run(shop, events=["buy", "cart"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rating_range": None}, "columns.rating and rating_range belong together"),
        ({"events": None}, "columns.event and events belong together"),
        ({"rating_range": [5, 1]}, "the lowest rating is 5, the highest 1"),
        ({"events": {"purchase": 0.0}}, "greater than 0"),
        ({"events": {"purchase": float("nan")}}, "finite number"),
        ({"events": {}}, "at least 1 item"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(shop: Path, changes: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        config(shop, **changes)


def test_a_bad_value_is_named_by_file_and_row(shop: Path) -> None:
    with (shop / "events.csv").open("a", encoding="utf-8") as file:
        file.write("soon,ann,1,3,purchase\n")
    with pytest.raises(InputError, match=r"events\.csv, row 6: found when: 'soon'"):
        run(shop)
