"""What must hold before anything is trained, and what a person should hear about a report.

A blocking check stops downstream of the same run only, and only at severity ERROR; a later run is stopped by the stage
itself, which raises on the same facts. The checks read files alone: nothing is computed twice.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetCheckSpec,
    asset_check,
    multi_asset_check,
)

from assets.data import validated_splits
from assets.evaluation import evaluation_reports
from assets.retrieval import sasrec_embeddings
from recops.artifacts import MANIFEST, read_json
from recops.config.recipe import load_recipe
from recops.paths import Layout, project_root
from recops.tracking import accept_run, last_accepted

MAX_INVALID_FRACTION = 0.05

Verdict = tuple[bool, dict[str, Any]]
"""Whether it holds, and the numbers that say so."""


@multi_asset_check(
    specs=[
        AssetCheckSpec(name, asset=validated_splits, description=description, blocking=True)
        for name, description in (
            ("expectations", "Every critical expectation of Great Expectations holds."),
            ("one_target", "Every candidate set holds its target exactly once, and no candidate twice."),
            ("quarantine", "No table lost more rows than the recipe allows."),
        )
    ]
)
def check_splits(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
    """Check the frozen splits before anything is fitted on them."""
    layout = Layout(project_root(), _recipe(context))
    folder = layout.artefact("validated_splits")
    limit = load_recipe(layout.recipe_file).validated_splits.max_quarantine_fraction
    yield _error("expectations", expectations_hold(read_json(folder / "validation.json")))
    yield _error("one_target", one_target_each(folder / "samples.parquet"))
    yield _error("quarantine", quarantine_is_small(read_json(folder / "report.json"), limit))


@asset_check(name="data_warnings", asset=validated_splits, description="No expectation of severity warning fails.")
def check_warnings(context: AssetCheckExecutionContext) -> AssetCheckResult:
    """Warn of what is wrong with the data and does not stop it: rejected rows, suspicious titles, few test samples."""
    folder = Layout(project_root(), _recipe(context)).artefact("validated_splits")
    passed, facts = no_warnings(read_json(folder / "validation.json"))
    words = f"{folder / 'validation.html'}: " + (
        ", ".join(f"{name} {count}" for name, count in facts.items()) or "none"
    )
    return AssetCheckResult(passed=passed, severity=AssetCheckSeverity.WARN, description=words, metadata=facts)


@asset_check(
    name="hard_expectations",
    asset=sasrec_embeddings,
    blocking=True,
    description="Every critical expectation of the candidate sets that SASRec draws holds, where there are such.",
)
def check_hard_candidates(context: AssetCheckExecutionContext) -> AssetCheckResult:
    """Check the candidate sets that are frozen after `validated_splits`."""
    verdict = hard_expectations_hold(Layout(project_root(), _recipe(context)).artefact("sasrec_embeddings"))
    return _error("hard_expectations", verdict)


@asset_check(
    name="drift", asset=validated_splits, description="The data is like the last version that passed every check."
)
def check_drift(context: AssetCheckExecutionContext) -> AssetCheckResult:
    """Warn when rows, ratings or categories moved since the last accepted version, then accept this one.

    Only a version whose critical expectations hold is accepted: what the blocking checks refuse must not become what
    later ones are compared with. Great Expectations and MLflow are imported where they run.
    """
    from recops.data.drift import judge_drift

    root, recipe = project_root(), _recipe(context)
    folder = Layout(root, recipe).artefact("validated_splits")
    version = {"stage": "validated_splits", "fingerprint": read_json(folder / MANIFEST)["fingerprint"]}
    before = last_accepted(root, recipe, **version, file="profile.json")
    if expectations_hold(read_json(folder / "validation.json"))[0]:
        accept_run(root, recipe, **version)
    if before is None:
        words = "No other version of this recipe was accepted before: nothing to compare with."
        return AssetCheckResult(passed=True, severity=AssetCheckSeverity.WARN, description=words)
    drift = judge_drift(read_json(folder / "profile.json"), before)
    distances: dict[str, float] = drift.facts["distances"]
    words = ", ".join(f"{name} {distance:+.3f}" for name, distance in distances.items())
    return AssetCheckResult(
        passed=drift.success, severity=AssetCheckSeverity.WARN, description=words, metadata=distances
    )


@asset_check(name="few_invalid_answers", asset=evaluation_reports, description="Few answers of any policy are invalid.")
def check_answers(context: AssetCheckExecutionContext) -> AssetCheckResult:
    """Warn when a policy's answers often break the format: its ranking metrics then say little."""
    folder = Layout(project_root(), _recipe(context)).artefact("evaluation_reports")
    passed, facts = answers_are_valid(read_json(folder / "metrics.json"))
    words = ", ".join(f"{name} {share:.1%}" for name, share in facts.items())
    return AssetCheckResult(passed=passed, severity=AssetCheckSeverity.WARN, description=words, metadata=facts)


@asset_check(
    name="injection",
    asset=evaluation_reports,
    description="No text that a stranger could write lifts its item, and with the sanitizer off one would.",
)
def check_injection(context: AssetCheckExecutionContext) -> AssetCheckResult:
    """Warn when planted texts move a policy, or when the suite's positive control shows that it measures nothing."""
    layout = Layout(project_root(), _recipe(context))
    config = load_recipe(layout.recipe_file).evaluation_reports.injection
    if config is None:
        words = "The recipe leaves the suite of planted texts out."
        return AssetCheckResult(passed=True, severity=AssetCheckSeverity.WARN, description=words)
    metrics = read_json(layout.artefact("evaluation_reports") / "metrics.json")
    passed, facts = injection_is_harmless(metrics["injection"], config.max_gained_fraction)
    words = ", ".join(f"{name} {value}" for name, value in facts.items())
    return AssetCheckResult(passed=passed, severity=AssetCheckSeverity.WARN, description=words, metadata=facts)


def _recipe(context: AssetCheckExecutionContext) -> str:
    """The partition of the run: partitioned checks are still a preview in Dagster."""
    return context.run.tags["dagster/partition"]


def expectations_hold(validation: dict[str, Any]) -> Verdict:
    """Whether every expectation of severity critical holds, with the number of failed ones per suite."""
    failed = _failed(validation, "critical")
    return bool(failed) and not any(failed.values()), failed


def hard_expectations_hold(sasrec: Path) -> Verdict:
    """As `expectations_hold`, of the hard candidates; it holds where there are none."""
    from recops.data.samples import HARD_CANDIDATES, HARD_VALIDATION

    if not (sasrec / HARD_CANDIDATES).is_file():
        return True, {"candidates": "none of them hard"}
    return expectations_hold(read_json(sasrec / HARD_VALIDATION))


def no_warnings(validation: dict[str, Any]) -> Verdict:
    """Whether every expectation of severity warning holds, with the number of failed ones per suite that has some."""
    failed = {name: count for name, count in _failed(validation, "warning").items() if count}
    return not failed, failed


def _failed(validation: dict[str, Any], severity: str) -> dict[str, int]:
    return {
        name: sum(one["severity"] == severity and not one["success"] for one in suite["expectations"])
        for name, suite in validation["suites"].items()
    }


def one_target_each(samples: Path) -> Verdict:
    """Whether each candidate set holds its target once, and no candidate twice."""
    import polars as pl

    if "candidates" not in pl.read_parquet_schema(samples):
        num_samples = pl.scan_parquet(samples).select(pl.len()).collect().item()
        return num_samples > 0, {"samples": num_samples, "candidates": "hard ones, drawn by sasrec_embeddings"}
    frame = pl.read_parquet(samples, columns=["target", "candidates"]).cast({"candidates": pl.List(pl.Int32)})
    held = pl.col("candidates").list.contains(pl.col("target"))
    distinct = pl.col("candidates").list.n_unique() == pl.col("candidates").list.len()
    wrong = len(frame) - int(frame.select((held & distinct).sum()).item())
    return len(frame) > 0 and wrong == 0, {"samples": len(frame), "wrong": wrong}


def quarantine_is_small(report: dict[str, Any], limit: float) -> Verdict:
    """Whether the share of quarantined rows of every table is at most `limit`."""
    fractions = report["quarantine_fraction"]
    return all(fraction <= limit for fraction in fractions.values()), {"limit": limit, **fractions}


def answers_are_valid(metrics: dict[str, Any]) -> Verdict:
    """Whether the share of invalid answers of every agent is at most `MAX_INVALID_FRACTION`."""
    invalid = {name: row["invalid_answers"] for name, row in metrics["systems"].items() if "invalid_answers" in row}
    return all(share <= MAX_INVALID_FRACTION for share in invalid.values()), invalid


def injection_is_harmless(injection: dict[str, Any], limit: float) -> Verdict:
    """Whether no attack lifts its item beyond `limit` of any policy's episodes, and past the sanitizer one does.

    Without the second the suite shows nothing about the sanitizer. A recipe that shows no text has nothing to lift.
    """
    facts = {f"{name}.{key}": value for name, row in injection.items() for key, value in row.items()}
    safe = all(row["gained"] <= limit for row in injection.values())
    proves = not injection or max(row["gained_raw"] for row in injection.values()) > limit
    return safe and proves, {"limit": limit, **facts}


def _error(name: str, verdict: Verdict) -> AssetCheckResult:
    passed, facts = verdict
    words = ", ".join(f"{key} {value}" for key, value in facts.items())
    severity = AssetCheckSeverity.ERROR
    return AssetCheckResult(check_name=name, passed=passed, severity=severity, description=words, metadata=facts)
