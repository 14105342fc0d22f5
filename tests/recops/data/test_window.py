from datetime import UTC, datetime

import polars as pl
import pytest

from recops.config.validated_splits import WindowConfig
from recops.data.window import in_window

WINDOW = WindowConfig.model_validate({"first_day": "2022-10-01", "last_day": "2023-10-31"})


def milliseconds(*moment: int) -> int:
    return int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


def test_both_days_belong_to_the_window() -> None:
    times = [
        milliseconds(2022, 10, 1) - 1,
        milliseconds(2022, 10, 1),
        milliseconds(2023, 10, 31, 23, 59, 59) + 999,
        milliseconds(2023, 11, 1),
    ]
    rows = pl.DataFrame({"timestamp": times})
    assert rows.filter(in_window(WINDOW))["timestamp"].to_list() == times[1:3]
    assert len(rows.filter(in_window(None))) == 4


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="first_day 2023-01-02 is after last_day 2023-01-01"):
        WindowConfig.model_validate({"first_day": "2023-01-02", "last_day": "2023-01-01"})
