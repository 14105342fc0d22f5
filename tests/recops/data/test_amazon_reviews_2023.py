from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recops.data import amazon_reviews_2023 as source
from recops.data import schema
from recops.errors import InputError
from tests.recops.data.small_source import FIRST_TIME, meta, review, write_lines


def read_reviews(path: Path) -> pl.DataFrame:
    return pl.concat(source.read_reviews(path))


def read_meta(path: Path) -> pl.DataFrame:
    return pl.concat(source.read_meta(path))


def test_reviews_become_interactions_of_the_parent_item_in_file_order(tmp_path: Path) -> None:
    lines = [review(), "", review(user_id="u2", parent_asin="i2", rating=None)]
    table = read_reviews(write_lines(tmp_path / "r.jsonl.gz", lines))
    assert dict(table.schema) == schema.INTERACTIONS
    assert table.rows() == [("u1", "i1", FIRST_TIME, 4.0, 1), ("u2", "i2", FIRST_TIME, None, 3)]


def test_meta_become_items_with_their_most_specific_category(tmp_path: Path) -> None:
    lines = [meta(), meta(categories=[], store=None, price=None, description=[]), meta(categories=None)]
    table = read_meta(write_lines(tmp_path / "m.jsonl", lines))
    assert dict(table.schema) == schema.ITEMS
    assert table["category"].to_list() == ["Lamps", "Home", "Home"]
    assert table["description"].to_list() == ["Bright. Warm.", None, "Bright. Warm."]
    assert table["store"].to_list() == ["Shop", None, "Shop"]


@pytest.mark.parametrize(
    ("published", "price"),
    [(12.5, 12.5), ("12.50", 12.5), ("$1,299.00", 1299.0), ("from 12.99", None), ("—", None), ("", None), (7, 7.0)],
)
def test_a_price_is_read_where_the_published_value_names_one(tmp_path: Path, published: Any, price: Any) -> None:
    table = read_meta(write_lines(tmp_path / "m.jsonl", [meta(price=published)]))
    assert table["price"].to_list() == [price]


@pytest.mark.parametrize(("published", "rating"), [(0, 0.0), (4, 4.0), (None, None)])
def test_an_average_rating_of_0_is_a_number_for_the_rules_to_refuse(
    tmp_path: Path, published: Any, rating: Any
) -> None:
    table = read_meta(write_lines(tmp_path / "m.jsonl", [meta(average_rating=published), meta()]))
    assert table["average_rating"][0] == rating


def test_blank_texts_are_absent(tmp_path: Path) -> None:
    table = read_meta(write_lines(tmp_path / "m.jsonl", [meta(title="  ", store="")]))
    assert table.select("title", "store").row(0) == (None, None)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rating", "five"),
        ("rating", True),
        ("timestamp", "2020-01-01"),
        ("timestamp", 1.5e12),
        ("timestamp", 10**30),
        ("user_id", 7),
        ("parent_asin", {"id": "B1"}),
        ("rating", [5]),
    ],
)
def test_a_review_value_of_the_wrong_type_is_named_by_line_and_key(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"r\.jsonl, line 2: found {key}: .*; expected {key}: "):
        read_reviews(write_lines(tmp_path / "r.jsonl", [review(), review(**{key: value})]))


@pytest.mark.parametrize(("key", "value"), [("title", 5), ("categories", {"a": 1}), ("categories", [1]), ("price", [])])
def test_a_meta_value_of_the_wrong_type_is_named_by_line_and_key(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(InputError, match=rf"m\.jsonl, line 1: found {key}: "):
        read_meta(write_lines(tmp_path / "m.jsonl", [meta(**{key: value})]))


@pytest.mark.parametrize("key", ["user_id", "parent_asin", "rating", "timestamp"])
def test_reviews_without_a_column_are_refused(tmp_path: Path, key: str) -> None:
    line = {name: value for name, value in review().items() if name != key}
    with pytest.raises(InputError, match=f"no key '{key}'"):
        read_reviews(write_lines(tmp_path / "r.jsonl", [line]))


def test_meta_without_a_column_are_refused(tmp_path: Path) -> None:
    line = {name: value for name, value in meta().items() if name != "price"}
    with pytest.raises(InputError, match="no line with price"):
        read_meta(write_lines(tmp_path / "m.jsonl", [line]))


def test_rows_of_several_blocks_stay_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops.data.byte_blocks.BLOCK_BYTES", 300)
    path = write_lines(tmp_path / "r.jsonl", [review(user_id=f"u{n}") for n in range(5)])
    assert len(list(source.read_reviews(path))) > 1
    table = read_reviews(path)
    assert table["user_id"].to_list() == [f"u{n}" for n in range(5)]
    assert table["row"].equals(pl.Series("row", range(1, 6), dtype=pl.Int64))


def test_control_characters_and_chat_tokens_of_a_title_are_kept_as_data(tmp_path: Path) -> None:
    title = "<|im_end|>\n<|im_start|>system\u0000\u0007 Lamp"
    assert read_meta(write_lines(tmp_path / "m.jsonl", [meta(title=title)]))["title"].to_list() == [title]


def test_a_rating_is_rounded_once(tmp_path: Path) -> None:
    """Decimal to double to float32, as Python and pandas do it: other ways differ in the last bit."""
    table = read_reviews(write_lines(tmp_path / "r.jsonl", [review(rating=4.3)]))
    assert table["rating"].to_numpy()[0] == np.float32(4.3)
