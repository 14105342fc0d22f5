import polars as pl

from recops.config.validated_splits import FittedOn
from recops.data.samples import SLICE_TYPE
from recops.data.sampling import build_samples, taken_items

COLUMNS = {"user": pl.Int32, "item": pl.Int32, "timestamp": pl.Int64, "slice": SLICE_TYPE}


def samples_of(
    rows: list[tuple[int, int, int, str]], fitted_on: FittedOn = "tool_fit"
) -> tuple[pl.DataFrame, dict[str, int]]:
    interactions = pl.DataFrame(rows, schema=COLUMNS, orient="row")
    return build_samples(interactions, taken_items(interactions, 9), fitted_on)


def test_a_sample_is_an_interaction_after_tool_fit_and_its_history_is_everything_before_it() -> None:
    samples, dropped = samples_of(
        [
            (0, 4, 10, "tool_fit"),
            (0, 5, 20, "policy_train"),
            (0, 6, 20, "policy_train"),  # same time: the order in the file decides
            (1, 4, 15, "tool_fit"),
            (1, 9, 40, "test"),
        ]
    )
    assert samples.select("sample_id", "user", "target", "slice", "history_start", "history_end").rows() == [
        (0, 0, 5, "policy_train", 0, 1),
        (1, 0, 6, "policy_train", 0, 2),
        (2, 1, 9, "test", 3, 4),
    ]
    assert dropped == {"samples_without_history": 0, "samples_with_target_in_history": 0}


def test_a_users_first_interaction_gives_no_sample_and_is_counted() -> None:
    samples, dropped = samples_of([(0, 4, 10, "valid"), (0, 5, 20, "test"), (1, 4, 30, "test")])
    assert samples["target"].to_list() == [5]
    assert dropped["samples_without_history"] == 2


def test_a_target_in_its_own_history_gives_no_sample_and_is_counted_but_stays_in_later_histories() -> None:
    samples, dropped = samples_of([(0, 4, 10, "tool_fit"), (0, 4, 20, "valid"), (0, 5, 30, "test"), (1, 4, 40, "test")])
    assert samples.select("target", "history_start", "history_end").rows() == [(5, 0, 2)]
    assert dropped == {"samples_without_history": 1, "samples_with_target_in_history": 1}


def test_a_target_is_warm_where_tool_fit_has_seen_it_with_any_user() -> None:
    samples, _ = samples_of(
        [(0, 4, 10, "tool_fit"), (1, 5, 20, "policy_train"), (1, 4, 30, "test"), (1, 6, 30, "test")]
    )
    assert samples.select("target", "target_is_warm").rows() == [(4, True), (6, False)]


def test_in_the_naive_protocol_every_target_of_policy_train_is_warm() -> None:
    rows = [(0, 4, 10, "tool_fit"), (0, 5, 20, "policy_train"), (0, 6, 30, "test"), (1, 4, 30, "test")]
    samples, _ = samples_of(rows, fitted_on="training")
    assert samples.select("target", "target_is_warm").rows() == [(5, True), (6, False)]
