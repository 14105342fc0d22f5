"""`raw_data` and `validated_splits` written plainly in pandas: `python -m benchmarks.data_in_pandas RECIPE OUT`.

What anybody would write first: whole tables, string ids, boolean masks, groupby, a loop over samples with a numpy
generator each. Files are read in chunks, for their texts would fill the memory. The rules are those that the generated
files break; quarantine file, suites and page are left out, which saves this side work.
"""

import argparse
import time
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from recops.config.raw_data import AmazonReviews2023Config
from recops.config.recipe import Recipe, load_recipe
from recops.config.validated_splits import TemporalConfig
from recops.data.rules import EARLIEST_MILLISECONDS, LATEST_MILLISECONDS, milliseconds
from recops.seeds import sub_seed

ROWS_PER_CHUNK = 250_000
SAMPLED = ("policy_train", "valid", "test")


def read_lines(path: Path, columns: dict[str, str]) -> pd.DataFrame:
    """Read JSON lines and keep some keys under other names, with the number of the line."""
    options = {"lines": True, "chunksize": ROWS_PER_CHUNK, "convert_dates": False, "dtype": False}
    chunks = [chunk[list(columns)] for chunk in pd.read_json(path, **options)]
    table = pd.concat(chunks, ignore_index=True).rename(columns=columns)
    table["row"] = np.arange(1, len(table) + 1)
    return table


def accepted_items(meta: pd.DataFrame) -> pd.DataFrame:
    price = pd.to_numeric(meta["price"], errors="coerce")
    keep = meta["item_id"].notna() & meta["title"].fillna("").str.strip().ne("")
    keep &= ~meta["item_id"].duplicated() & (price.isna() | price.between(0, 1e7))
    return meta[keep & (meta["average_rating"].isna() | meta["average_rating"].between(1, 5))]


def accepted_interactions(reviews: pd.DataFrame, items: pd.DataFrame, latest: date) -> pd.DataFrame:
    keep = reviews[["user_id", "item_id", "timestamp"]].notna().all(axis=1)
    keep &= reviews["timestamp"].between(EARLIEST_MILLISECONDS, min(milliseconds(latest) - 1, LATEST_MILLISECONDS))
    keep &= reviews["rating"].isna() | reviews["rating"].between(1, 5)
    return reviews[keep & reviews["item_id"].isin(items["item_id"])]


def k_core(rows: pd.DataFrame, per_user: int, per_item: int) -> pd.DataFrame:
    before = -1
    while len(rows) != before:
        before = len(rows)
        rows = rows[rows.groupby("user_id")["row"].transform("size") >= per_user]
        rows = rows[rows.groupby("item_id")["row"].transform("size") >= per_item]
    return rows


def with_slices(rows: pd.DataFrame, split: TemporalConfig) -> pd.DataFrame:
    ordered = np.sort(rows["timestamp"].to_numpy())
    slices, older = np.full(len(rows), "tool_fit", dtype=object), split.tool_fit
    for name in SAMPLED:
        start = ordered[min(round(older * len(ordered)), len(ordered) - 1)]
        slices[rows["timestamp"].to_numpy() >= start] = name
        older += getattr(split, name)
    return rows.assign(slice=slices)


def build_samples(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows sorted by user, time and line; a sample for each with a history that does not hold its item."""
    position = pd.Series(np.arange(len(rows)), index=rows.index)
    start = position.groupby(rows["user"]).transform("min")
    wanted = rows["slice"].isin(SAMPLED) & (position > start) & ~rows.duplicated(["user", "item"])
    warm = rows["item"].isin(rows.loc[rows["slice"] == "tool_fit", "item"].unique())
    samples = rows.assign(history_start=start, history_end=position, target_is_warm=warm)[wanted]
    return samples.rename(columns={"item": "target"}).drop(columns=["rating", "row", "user_id", "item_id"])


def draw_candidates(samples: pd.DataFrame, rows: pd.DataFrame, num_candidates: int, seed: int) -> list[np.ndarray]:
    """A generator per sample, seeded by what the sample is, so that no draw depends on another one."""
    items, num_items = rows["item"].to_numpy(), int(rows["item"].max())
    user_ids, item_ids = rows["user_id"].to_numpy(), rows["item_id"].to_numpy()
    sets = []
    for sample in samples.itertuples():
        place = sample.history_end
        names = (user_ids[place], item_ids[place], sample.timestamp)
        generator = np.random.default_rng(sub_seed(seed, "candidates", *names))
        barred = np.unique(np.append(items[sample.history_start : place], sample.target))
        drawn = generator.choice(num_items, size=num_candidates - 1 + len(barred), replace=False) + 1
        negatives = drawn[~np.isin(drawn, barred)][: num_candidates - 1]
        sets.append(generator.permutation(np.append(negatives, sample.target)).astype(np.int32))
    return sets


def run(recipe: Recipe, out: Path) -> dict[str, float]:
    """Write interactions and samples in the columns of the artefact; return the seconds of each part."""
    source, config = recipe.raw_data.source, recipe.validated_splits
    assert isinstance(source, AmazonReviews2023Config)
    assert isinstance(config.split, TemporalConfig)
    clock = [time.perf_counter()]
    keys = {"user_id": "user_id", "parent_asin": "item_id", "timestamp": "timestamp", "rating": "rating"}
    reviews = read_lines(source.folder / str(source.reviews), keys)
    names = {"parent_asin": "item_id", "title": "title", "price": "price", "average_rating": "average_rating"}
    names |= {"store": "store", "categories": "categories", "description": "description"}
    meta = read_lines(source.folder / str(source.meta), names)
    clock.append(time.perf_counter())
    items = accepted_items(meta)
    rows = accepted_interactions(reviews, items, config.validation.latest_date)
    rows = rows.drop_duplicates(["user_id", "item_id", "timestamp"])
    rows = k_core(rows, config.min_interactions_per_user, config.min_interactions_per_item)
    rows = rows.sort_values(["user_id", "timestamp", "row"]).reset_index(drop=True)
    rows["user"] = pd.factorize(rows["user_id"], sort=True)[0]
    rows["item"] = pd.factorize(rows["item_id"], sort=True)[0] + 1
    rows = with_slices(rows, config.split)
    samples = build_samples(rows)
    clock.append(time.perf_counter())
    samples["candidates"] = draw_candidates(samples, rows, config.candidates.num_candidates, recipe.seed)
    clock.append(time.perf_counter())
    rows[["user", "item", "timestamp", "rating", "slice"]].to_parquet(out / "interactions.parquet")
    samples.to_parquet(out / "samples.parquet")
    items.merge(rows[["item", "item_id"]].drop_duplicates(), on="item_id").to_parquet(out / "items.parquet")
    clock.append(time.perf_counter())
    return dict(zip(("read", "clean", "draw", "write"), np.diff(clock).tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    print({name: round(seconds, 1) for name, seconds in run(load_recipe(arguments.recipe), arguments.out).items()})


if __name__ == "__main__":
    main()
