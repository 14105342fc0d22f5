"""Seeded files in the format of Amazon Reviews 2023, at any size: `python -m benchmarks.amazon_2023_files FOLDER ROWS`.

What decides the cost of cleaning is as in the published categories: some 2.4 reviews per user with a long tail, few
items that are taken often, more reviews in later years, 28-character user ids, exact repeats, and a few rows of each
kind that is rejected. Titles and texts are drawn from a small pool, for nobody reads them.
"""

import argparse
import math
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray

ROWS_PER_ITEM = 33
USERS_PER_ROW = 0.72  # drawn unevenly: some 2.4 reviews per user that has any
ROWS_PER_CHUNK = 500_000
FIRST_TIME, LAST_TIME = 1_262_304_000_000, 1_694_908_800_000  # 2010-01-01 to 2023-09-17
REPEAT_FRACTION = 0.005
BAD_FRACTION = 0.0002

_USER_ID_CHARACTERS = 28
_ITEM_ID_CHARACTERS = 10
_ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", dtype=np.uint8)
_WORDS = ("lamp", "cable", "fits", "sturdy", "case", "for", "my", "old", "phone", "and", "works", "well", "screen")


def write_files(folder: Path, rows: int, seed: int) -> None:
    """Write `reviews.jsonl` with `rows` lines and `meta.jsonl` with an item for every `ROWS_PER_ITEM` of them."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    num_items, num_users = max(rows // ROWS_PER_ITEM, 100), int(rows * USERS_PER_ROW)
    item_ids = _ids(num_items, _ITEM_ID_CHARACTERS, generator)
    _write_meta(folder / "meta.jsonl", item_ids, generator)
    user_ids = _ids(num_users, _USER_ID_CHARACTERS, generator)
    users = _cumulative(generator.lognormal(0, 1.0, num_users))
    items = _cumulative((np.arange(num_items) + 10.0) ** -0.8)
    with (folder / "reviews.jsonl").open("wb") as file:
        for start in range(0, rows, ROWS_PER_CHUNK):
            chunk = _reviews(min(ROWS_PER_CHUNK, rows - start), user_ids, item_ids, users, items, generator)
            chunk.write_ndjson(file)


def _ids(count: int, length: int, generator: np.random.Generator) -> pl.Series:
    """Random ids of capital letters and digits, `count` strings of `length` characters."""
    characters = _ALPHABET[generator.integers(0, len(_ALPHABET), count * length, dtype=np.uint8)]
    offsets = np.arange(0, (count + 1) * length, length, dtype=np.int64)
    array = pa.LargeStringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(characters))
    return pl.Series(pl.from_arrow(array))


def _cumulative(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.cumsum(weights)
    return total / total[-1]


def _reviews(
    count: int,
    user_ids: pl.Series,
    item_ids: pl.Series,
    users: NDArray[np.float64],
    items: NDArray[np.float64],
    generator: np.random.Generator,
) -> pl.DataFrame:
    """One chunk of reviews; repeats repeat a row of the same chunk."""
    source = np.arange(count)
    repeated = generator.random(count) < REPEAT_FRACTION
    source[repeated] = generator.integers(0, count, int(repeated.sum()))
    taken = item_ids.gather(np.searchsorted(items, generator.random(count)))
    later = generator.beta(3, 1.5, count)
    texts = pl.Series([" ".join(generator.choice(_WORDS, 8 + index % 40)) for index in range(200)])
    frame = pl.DataFrame(
        {
            "rating": generator.choice([1.0, 2.0, 3.0, 4.0, 5.0], count, p=[0.1, 0.06, 0.08, 0.14, 0.62]),
            "title": texts.str.slice(0, 20).gather(generator.integers(0, len(texts), count)),
            "text": texts.gather(generator.integers(0, len(texts), count)),
            "images": pl.Series([[]] * count, dtype=pl.List(pl.String)),
            "asin": taken,
            "parent_asin": taken,
            "user_id": user_ids.gather(np.searchsorted(users, generator.random(count))),
            "timestamp": FIRST_TIME + (later * (LAST_TIME - FIRST_TIME)).astype(np.int64),
            "helpful_vote": generator.poisson(0.6, count),
            "verified_purchase": generator.random(count) < 0.9,
        }
    )
    return _with_flaws(frame[source], generator)


def _with_flaws(frame: pl.DataFrame, generator: np.random.Generator) -> pl.DataFrame:
    """A few rows of each kind that is rejected: seconds for milliseconds, other stars, an item nobody describes."""
    draw = pl.lit(pl.Series(generator.random(len(frame))))
    seconds, stars, unknown = (draw.is_between(part * BAD_FRACTION, (part + 1) * BAD_FRACTION) for part in range(3))
    return frame.with_columns(
        pl.when(seconds).then(pl.col("timestamp") // 1000).otherwise("timestamp").alias("timestamp"),
        pl.when(stars).then(0.0).otherwise("rating").alias("rating"),
        pl.when(unknown).then(pl.lit("B000NOWHER")).otherwise("parent_asin").alias("parent_asin"),
    )


def _write_meta(path: Path, item_ids: pl.Series, generator: np.random.Generator) -> None:
    count = len(item_ids)
    number = pl.Series(np.arange(count))
    prices = pl.Series(np.exp(generator.normal(3, 1, count)).round(2))
    leaves = pl.Series([f"Kind {leaf}" for leaf in range(1 + int(math.sqrt(count)))])
    leaf = leaves.gather(generator.integers(0, len(leaves), count))
    frame = pl.DataFrame({"parent_asin": item_ids, "number": number, "price": prices, "leaf": leaf})
    title = pl.format("{} for {} no. {}", pl.col("leaf"), pl.lit("every day"), pl.col("number"))
    frame.select(
        pl.lit("Electronics").alias("main_category"),
        pl.when(pl.col("number") % 5_000 == 1).then(pl.lit("  ")).otherwise(title).alias("title"),
        (pl.col("number") % 5 * 0.8 + 1).alias("average_rating"),
        (pl.col("number") % 900 + 1).alias("rating_number"),
        pl.concat_list(pl.lit("Sturdy"), pl.lit("Black")).alias("features"),
        pl.concat_list(pl.format("A {} that lasts.", "leaf"), pl.lit("With a warranty of two years.")).alias(
            "description"
        ),
        pl.when(pl.col("number") % 4 == 0).then(None).otherwise("price").alias("price"),
        pl.concat_list(pl.lit("Electronics"), pl.col("leaf")).alias("categories"),
        pl.format("Store {}", pl.col("number") % 4_000).alias("store"),
        "parent_asin",
    ).write_ndjson(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("rows", type=int)
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.folder, ignore_errors=True)
    write_files(arguments.folder, arguments.rows, arguments.seed)


if __name__ == "__main__":
    main()
