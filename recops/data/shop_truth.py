"""Everything that the simulated store knows and no system may read: what users and items are, and how choices are made.

The tables lie beside `interactions.parquet`; docs/artefacts.md lists their columns.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.artifacts import read_json, write_json
from recops.data.shop_catalogue import Catalogue
from recops.data.shop_fashion import Waves, fashion_shares
from recops.data.shop_rules import ShopRules, day_of
from recops.data.shop_words import STORES
from recops.data.shopper import Shopper, user_id
from recops.errors import InputError

RULES = "truth_rules.json"
PLANTED_CASE = "planted_case.parquet"

_FILES = {
    "users": "truth.parquet",
    "items": "truth_items.parquet",
    "waves": "truth_waves.parquet",
    "communities": "truth_communities.parquet",
    "planted_case": PLANTED_CASE,
    "complements": "complements.parquet",
    "requests": "requests.parquet",
}


@dataclass(frozen=True)
class ShopTruth:
    """The tables of the truth, as docs/artefacts.md lists them for `raw_data`, and the rules of choice."""

    users: pl.DataFrame
    items: pl.DataFrame
    waves: pl.DataFrame
    communities: pl.DataFrame
    planted_case: pl.DataFrame
    complements: pl.DataFrame
    requests: pl.DataFrame
    rules: ShopRules

    def write(self, folder: Path) -> None:
        """Write a file per table, and the rules."""
        for name, file in _FILES.items():
            getattr(self, name).write_parquet(folder / file)
        write_json(folder / RULES, asdict(self.rules))


@dataclass(frozen=True)
class Shop:
    """What the oracle knows of a store: its items with their positions, and how its users choose."""

    catalogue: Catalogue
    rules: ShopRules


def read_shop(raw: Path) -> Shop:
    """Read the catalogue and the rules back from a `raw_data` folder.

    Raises:
        InputError: the folder has no truth.
    """
    if not (raw / RULES).is_file():
        step = (
            "Take oracle and oracle_given_kind out of baselines.systems: only the source simulated_store has a truth."
        )
        raise InputError(raw / RULES, found="no file", expected="the truth of a simulated store", next_step=step)
    tables = {name: pl.read_parquet(raw / _FILES[name]) for name in ("items", "waves", "communities")}
    table = pl.read_parquet(raw / "items.parquet").sort("row")
    position = {item_id: index for index, item_id in enumerate(table["item_id"])}
    release_day = tables["items"]["release_day"].to_numpy()
    waves = Waves(
        item=_positions(tables["waves"]["item_id"], position),
        **{name: tables["waves"][name].to_numpy() for name in ("from_day", "peak_day", "height")},
    )
    last = pl.scan_parquet(raw / "interactions.parquet").select(pl.col("timestamp").max()).collect().item()
    catalogue = Catalogue(
        table=table.drop("row"),
        words=tables["items"].drop("item_id", "release_day"),
        category=_codes(table["category"]),
        noun=_codes(tables["items"]["noun"]),
        store=np.asarray([STORES.index(name) for name in table["store"]], dtype=np.int64),
        release_day=release_day,
        waves=waves,
        fashion=fashion_shares(waves, release_day, int(day_of(last)) + 1),
        communities=tuple(
            _positions(order["item_id"], position)
            for order in tables["communities"].sort("community", "place").partition_by("community")
        ),
    )
    rules = read_json(raw / RULES)
    return Shop(catalogue, ShopRules(**{**rules, "kind_shares": tuple(rules["kind_shares"])}))


def users_table(shoppers: Sequence[Shopper]) -> pl.DataFrame:
    """Return what each user is led by; `store`, `community` and `first_step` only where its kind has them."""
    rows = [
        {
            "user_id": user_id(number),
            "kind": shopper.kind,
            "store": STORES[shopper.store] if shopper.kind == "store" else None,
            "community": shopper.community if shopper.kind == "community" else None,
            "first_step": shopper.first_step if shopper.kind == "community" else None,
        }
        for number, shopper in enumerate(shoppers)
    ]
    kinds = {"user_id": pl.String, "kind": pl.String, "store": pl.String}
    return pl.DataFrame(rows, schema={**kinds, "community": pl.Int32, "first_step": pl.Int32})


def items_table(catalogue: Catalogue) -> pl.DataFrame:
    """Return the words of each item and its first day on sale."""
    release_day = pl.Series("release_day", catalogue.release_day)
    return catalogue.table.select("item_id").hstack(catalogue.words).with_columns(release_day)


def waves_table(catalogue: Catalogue) -> pl.DataFrame:
    """Return the waves of fashion."""
    waves = catalogue.waves
    numbers = {field.name: getattr(waves, field.name) for field in fields(waves) if field.name != "item"}
    return pl.DataFrame({"item_id": catalogue.table["item_id"].gather(waves.item), **numbers})


def communities_table(catalogue: Catalogue) -> pl.DataFrame:
    """Return the items of each community in its order."""
    rows = [
        (community, place, int(position))
        for community, order in enumerate(catalogue.communities)
        for place, position in enumerate(order)
    ]
    table = pl.DataFrame(rows, schema={"community": pl.Int32, "place": pl.Int32, "item": pl.Int64}, orient="row")
    return table.select("community", "place", catalogue.table["item_id"].gather(table["item"]).alias("item_id"))


def _positions(item_ids: pl.Series, position: dict[str, int]) -> NDArray[np.int64]:
    return np.asarray([position[item_id] for item_id in item_ids], dtype=np.int64)


def _codes(names: pl.Series) -> NDArray[np.int64]:
    return names.rank("dense").to_numpy().astype(np.int64)
