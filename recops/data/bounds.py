"""Facts of a whole table, a number each, against the range that each must lie in: judged as a frame of one row."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from recops.data.expectations import Expectation, Seen, Severity, SuiteResult, run_suite
from recops.data.table_facts import Facts
from recops.errors import InputError


@dataclass(frozen=True)
class Bound:
    """A range for one number of a whole table.

    `next_step` is None where input cannot be the cause: what fails then is ours.
    """

    fact: str
    low: float | None
    high: float | None
    told: str
    next_step: str | None
    severity: Severity = "critical"


def judge_facts(name: str, facts: Facts, bounds: Sequence[Bound], seen: Seen) -> SuiteResult:
    """Return the suite of the bounds.

    Raises:
        InputError: a critical bound is broken for which input can be to blame.
        RuntimeError: another critical one is.
    """
    frame = pl.DataFrame([{bound.fact: facts[bound.fact] for bound in bounds}])
    expectations = [between(bound.fact, bound.low, bound.high, bound.told, bound.severity) for bound in bounds]
    result = run_suite(name, frame, expectations, seen)
    for bound, told in zip(bounds, result.facts["expectations"], strict=True):
        if bound.severity == "critical" and bound.next_step and not told["success"]:
            found = f"{bound.fact} {facts[bound.fact]:.6g}"
            raise InputError("validated_splits", found=found, expected=bound.told, next_step=bound.next_step)
    return surely(name, result)


def surely(name: str, result: SuiteResult) -> SuiteResult:
    """Return the result of a suite over what a stage guarantees.

    Raises:
        RuntimeError: a critical expectation fails: what was to be enforced before was not, our bug.
    """
    broken = [one for one in result.facts["expectations"] if one["severity"] == "critical" and not one["success"]]
    if broken:
        raise RuntimeError(f"{name}: accepted data breaks {broken}")
    return result


def all_rows(number: int) -> Seen:
    """Say that a suite sees every row of a table."""
    return Seen(number, number, None)


def between(
    column: str, low: float | None, high: float | None, told: str, severity: Severity = "critical"
) -> Expectation:
    """Return the expectation of a range, for each row of a column."""
    arguments = {"column": column, "min_value": low, "max_value": high}
    return Expectation("ExpectColumnValuesToBeBetween", arguments, severity, told)
