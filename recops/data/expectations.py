"""Great Expectations suites, in code, over the rules of `recops.data.rules`.

The library is imported where it runs, for that takes seconds; its analytics and progress bars are off, and its context
lives in memory only.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import polars as pl

from recops.data.rules import RULES, WHOLE_TABLE, Rule, Table

_POSITION = "position"
_Expectation = tuple[str, dict[str, Any], dict[str, str]]  # class name, arguments, meta


@dataclass(frozen=True)
class SuiteResult:
    """Outcome of one suite: `failed` holds (reason, source row) of every failing row, in the order of the rules."""

    success: bool
    failed: tuple[tuple[str, int], ...]
    facts: dict[str, Any]


def validate_rows(table: Table, rows: pl.DataFrame) -> SuiteResult:
    """Run the row rules over raw rows; `rows` has a `row` column that names them and the derived columns."""
    return _run(f"{table}_rows", rows, [_row_rule(rule) for rule in RULES[table]])


def validate_accepted(table: Table, rows: pl.DataFrame) -> SuiteResult:
    """Run the row rules and those of the whole table over accepted rows: here every one must succeed."""
    whole: list[_Expectation] = [(name, arguments, {}) for name, arguments in WHOLE_TABLE[table]]
    return _run(f"{table}_accepted", rows, [*[_row_rule(rule) for rule in RULES[table]], *whole])


def _row_rule(rule: Rule) -> _Expectation:
    return rule.expectation, rule.arguments, {"reason": rule.reason}


def _run(name: str, rows: pl.DataFrame, expectations: Sequence[_Expectation]) -> SuiteResult:
    gx, context = _great_expectations()
    source = context.data_sources.add_or_update_pandas(name)
    batch_definition = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    batch = batch_definition.get_batch({"dataframe": rows.to_pandas()})
    suite = gx.ExpectationSuite(
        name=name,
        expectations=[
            getattr(gx.expectations, expectation)(**arguments, meta={**meta, _POSITION: position})
            for position, (expectation, arguments, meta) in enumerate(expectations)
        ],
    )
    shape = {"result_format": "COMPLETE", "unexpected_index_column_names": ["row"], "include_unexpected_rows": False}
    result = batch.validate(suite, result_format=shape).to_json_dict()
    # The library answers in an order of its own; a row that breaks several rules is to be told of the first.
    parts = sorted(result["results"], key=lambda part: int(part["expectation_config"]["meta"][_POSITION]))
    return SuiteResult(
        success=result["success"],
        failed=tuple(row for part in parts for row in _failed_rows(part)),
        facts={"success": result["success"], "expectations": [_facts(part) for part in parts]},
    )


def _failed_rows(part: dict[str, Any]) -> list[tuple[str, int]]:
    trouble = part["exception_info"]
    if trouble.get("raised_exception", True):
        raise RuntimeError(f"Great Expectations could not evaluate {part['expectation_config']}: {trouble}")
    reason = part["expectation_config"]["meta"].get("reason")
    listed = part["result"].get("unexpected_index_list") or [] if reason else []
    return [(reason, int(entry["row"])) for entry in listed]


def _facts(part: dict[str, Any]) -> dict[str, Any]:
    """What a person wants of one result. Ids and times of a run are left out: equal data must give equal bytes."""
    config, result = part["expectation_config"], part["result"]
    counts = {key: result[key] for key in ("element_count", "unexpected_count", "observed_value") if key in result}
    kwargs = {key: value for key, value in config["kwargs"].items() if key != "batch_id"}
    meta = {key: value for key, value in config["meta"].items() if key != _POSITION}
    return {"type": config["type"], "kwargs": kwargs, **meta, "success": part["success"], **counts}


@cache
def _great_expectations() -> tuple[Any, Any]:
    """Import the library and open a context that lives in memory only."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import
    import great_expectations as gx
    import great_expectations.expectations

    context: Any = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return gx, context
