"""Great Expectations suites, in code: what is expected of a frame, run, and told in plain facts.

The library is imported where it runs, for that takes seconds; its analytics and progress bars are off, and its context
lives in memory only.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import polars as pl

from recops.imports import importing

Severity = Literal["critical", "warning"]

_POSITION = "position"


@dataclass(frozen=True)
class Expectation:
    """One expectation, by its class name in `great_expectations.expectations`.

    Attributes:
        reason: the rule that it stands for; None for an expectation of a whole table.
        told: what is expected, for a person.
    """

    type: str
    arguments: dict[str, Any]
    severity: Severity
    told: str
    reason: str | None = None


@dataclass(frozen=True)
class Seen:
    """Which rows of a table a suite looks at: all, or a sample drawn with a seed."""

    rows: int
    rows_seen: int
    sample_seed: int | None


@dataclass(frozen=True)
class SuiteResult:
    """Outcome of one suite: `failed` holds (reason, source row) of every failing row, in the order of the rules."""

    success: bool
    failed: tuple[tuple[str, int], ...]
    facts: dict[str, Any]


def run_suite(name: str, frame: pl.DataFrame, expectations: Sequence[Expectation], seen: Seen) -> SuiteResult:
    """Run a suite over a frame; expectations with a reason need a column `row` that names the frame's rows."""
    gx, context = great_expectations()
    source = context.data_sources.add_or_update_pandas(name)
    batch_definition = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    batch = batch_definition.get_batch({"dataframe": frame.to_pandas()})
    suite = gx.ExpectationSuite(
        name=name,
        expectations=[
            getattr(gx.expectations, one.type)(**one.arguments, severity=one.severity, meta={_POSITION: position})
            for position, one in enumerate(expectations)
        ],
    )
    shape = {"result_format": "COMPLETE", "include_unexpected_rows": False}
    if "row" in frame.columns:
        shape["unexpected_index_column_names"] = ["row"]
    result = batch.validate(suite, result_format=shape).to_json_dict()
    # The library answers in an order of its own; a row that breaks several rules is to be told of the first.
    parts = sorted(result["results"], key=lambda part: int(part["expectation_config"]["meta"][_POSITION]))
    pairs = list(zip(expectations, parts, strict=True))
    return SuiteResult(
        success=result["success"],
        failed=tuple(row for one, part in pairs for row in _failed_rows(one, part)),
        facts={
            "success": result["success"],
            "rows": seen.rows,
            "rows_seen": seen.rows_seen,
            "sample_seed": seen.sample_seed,
            "expectations": [_facts(one, part) for one, part in pairs],
        },
    )


def _failed_rows(one: Expectation, part: dict[str, Any]) -> list[tuple[str, int]]:
    trouble = part["exception_info"]
    if trouble.get("raised_exception", True):
        raise RuntimeError(f"Great Expectations could not evaluate {part['expectation_config']}: {trouble}")
    if one.reason is None:
        return []
    return [(one.reason, int(entry["row"])) for entry in part["result"].get("unexpected_index_list") or []]


def _facts(one: Expectation, part: dict[str, Any]) -> dict[str, Any]:
    """What a person wants of one result. Ids and times of a run are left out: equal data must give equal bytes."""
    config, result = part["expectation_config"], part["result"]
    counts = {key: result[key] for key in ("element_count", "unexpected_count", "observed_value") if key in result}
    if one.reason is None and result.get("partial_unexpected_list"):
        counts["found"] = result["partial_unexpected_list"]
    kwargs = {key: value for key, value in config["kwargs"].items() if key != "batch_id"}
    named = {} if one.reason is None else {"reason": one.reason}
    told = {"severity": one.severity, "expected": one.told}
    return {"type": config["type"], "kwargs": kwargs, **named, **told, "success": part["success"], **counts}


@cache
def great_expectations() -> tuple[Any, Any]:
    """Import the library, which takes seconds, and open a context that lives in memory only; return both."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import
    with importing():
        import great_expectations as gx
        import great_expectations.expectations

    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return gx, context
