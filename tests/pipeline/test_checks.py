"""The asset checks go red for the defects that they name."""

from pathlib import Path

import polars as pl
import pytest

from assets.checks import (
    answers_are_valid,
    expectations_hold,
    injection_is_harmless,
    no_warnings,
    one_target_each,
    quarantine_is_small,
)


def samples(path: Path, target: int, candidates: list[int]) -> Path:
    pl.DataFrame({"target": [target, 1], "candidates": [candidates, [1, 2]]}).write_parquet(path)
    return path


def test_a_candidate_set_with_its_target_once_passes(tmp_path: Path) -> None:
    assert one_target_each(samples(tmp_path / "samples.parquet", 3, [5, 3, 4])) == (True, {"samples": 2, "wrong": 0})


@pytest.mark.parametrize("candidates", [[5, 4, 6], [3, 5, 3], [3, 5, 5]])
def test_a_missing_or_repeated_candidate_fails(tmp_path: Path, candidates: list[int]) -> None:
    passed, facts = one_target_each(samples(tmp_path / "samples.parquet", 3, candidates))
    assert (passed, facts["wrong"]) == (False, 1)


def test_hard_candidates_are_not_looked_for_before_they_are_drawn(tmp_path: Path) -> None:
    pl.DataFrame({"target": [3, 1]}).write_parquet(tmp_path / "samples.parquet")
    passed, facts = one_target_each(tmp_path / "samples.parquet")
    assert (passed, facts["samples"]) == (True, 2)


def test_no_samples_at_all_fail(tmp_path: Path) -> None:
    empty = pl.DataFrame(schema={"target": pl.Int32, "candidates": pl.List(pl.Int32)})
    empty.write_parquet(tmp_path / "samples.parquet")
    assert not one_target_each(tmp_path / "samples.parquet")[0]


def suites(severity: str, success: bool) -> dict[str, object]:
    return {"suites": {"splits": {"expectations": [{"severity": severity, "success": success}]}}}


def test_a_critical_expectation_that_fails_is_an_error_and_one_of_severity_warning_a_warning() -> None:
    assert expectations_hold(suites("critical", True))[0]
    assert not expectations_hold(suites("critical", False))[0]
    assert expectations_hold(suites("warning", False))[0]
    assert no_warnings(suites("critical", False))[0]
    assert no_warnings(suites("warning", False)) == (False, {"splits": 1})


def test_a_validation_without_suites_fails() -> None:
    assert not expectations_hold({"suites": {}})[0]


def test_quarantine_above_the_recipes_share_fails() -> None:
    report = {"quarantine_fraction": {"items": 0.0, "interactions": 0.05}}
    assert quarantine_is_small(report, 0.05)[0]
    assert not quarantine_is_small(report, 0.04)[0]


def test_many_invalid_answers_of_one_policy_fail() -> None:
    assert answers_are_valid({"systems": {"random": {}, "grpo_model": {"invalid_answers": 0.05}}})[0]
    assert not answers_are_valid({"systems": {"random": {}, "grpo_model": {"invalid_answers": 0.06}}})[0]


def test_a_text_that_lifts_its_item_is_a_warning_and_so_is_a_control_that_lifts_nothing() -> None:
    row = {"gained": 0.2, "ndcg_loss": 0.0, "gained_harmless": 0.2, "gained_raw": 0.9}
    assert injection_is_harmless({"ppr_model": row}, 0.3)[0]
    assert not injection_is_harmless({"ppr_model": row}, 0.1)[0]
    assert not injection_is_harmless({"ppr_model": {**row, "gained_raw": 0.3}}, 0.3)[0]
    assert injection_is_harmless({}, 0.3)[0]
    assert injection_is_harmless({"ppr_model": row}, 0.3)[1]["ppr_model.gained"] == 0.2
