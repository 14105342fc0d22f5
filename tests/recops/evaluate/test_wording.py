import pytest

from recops.evaluate.paired import Paired
from recops.evaluate.wording import decimal, interval, p_value, reading


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.0123, 0.4567, "[.012, .457]"),
        (-0.0004, 0.006, "[-.0004, .0060]"),
        (-0.006, 0.00002, "[-.00600, .00002]"),
        (-0.5, 0.0, "[-.500, .000]"),
        (0.0, 0.0, "[.000, .000]"),
    ],
)
def test_an_interval_shows_on_which_side_of_zero_its_ends_lie(low: float, high: float, text: str) -> None:
    assert interval(low, high) == text


def test_a_p_value_below_a_thousandth_is_not_written_as_zero() -> None:
    assert p_value(0.0002) == "p < .001"
    assert p_value(0.0312) == "p = .031"
    assert p_value(1.0) == "p = 1.000"


def difference(mean: float, low: float, high: float, *, differs: bool) -> Paired:
    return Paired("ppr_model", "grpo_model", "predecessor", mean, low, high, 0.02, 0.2, differs)


def test_a_direction_is_told_only_where_the_corrected_test_finds_one() -> None:
    assert reading(difference(0.1, 0.05, 0.2, differs=True)) == "PPR is above GRPO by .100 [.050, .200] in NDCG@10."
    assert reading(difference(-0.1, -0.2, -0.05, differs=True)) == "PPR is below GRPO by .100 [.050, .200] in NDCG@10."
    unshown = reading(difference(0.1, 0.01, 0.2, differs=False))
    assert unshown == "No difference shown between PPR and GRPO in NDCG@10: .100 [.010, .200]."


def test_decimals_are_written_without_the_zero_before_the_point() -> None:
    assert (decimal(0.452), decimal(-0.031), decimal(1.0), decimal(-0.0001)) == (".452", "-.031", "1.000", ".000")
