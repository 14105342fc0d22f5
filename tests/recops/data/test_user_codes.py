import polars as pl
import pytest

from recops.data.user_codes import coded_active_users

TABLE = pl.DataFrame({"user_id": ["b", "a", "c", "b", "a", "b"], "item": [1, 2, 3, 4, 5, 6]})


def named(rows: pl.DataFrame, users: pl.DataFrame) -> list[tuple[str, int]]:
    return rows.join(users, on="user", how="left", maintain_order="left").select("user_id", "item").rows()


@pytest.mark.parametrize("minimum", [1, 2, 3])
def test_rows_of_users_with_enough_interactions_stay_in_order_each_with_its_user(minimum: int) -> None:
    rows, users = coded_active_users(TABLE, TABLE["user_id"].hash(), minimum)
    counts = {"a": 2, "b": 3, "c": 1}
    assert named(rows, users) == [row for row in TABLE.rows() if counts[row[0]] >= minimum]
    assert sorted(users["user"]) == list(range(len(users)))
    assert users["user_id"].is_unique().all()
    assert rows["user"].dtype == pl.Int32


def test_users_that_share_a_hash_are_told_apart_by_their_ids() -> None:
    hashes = TABLE["user_id"].replace_strict({"a": 7, "b": 7, "c": 9}, return_dtype=pl.UInt64)
    rows, users = coded_active_users(TABLE, hashes, 3)
    assert named(rows, users) == [row for row in TABLE.rows() if row[0] != "c"]


def test_where_no_user_has_enough_all_rows_stay() -> None:
    rows, users = coded_active_users(TABLE, TABLE["user_id"].hash(), 4)
    assert named(rows, users) == TABLE.rows()


def test_no_row_gives_no_user() -> None:
    rows, users = coded_active_users(TABLE.clear(), TABLE.clear()["user_id"].hash(), 1)
    assert (len(rows), len(users)) == (0, 0)
