"""Stage `validated_splits`: accepted rows, indices, four time slices, samples with frozen candidates, quarantine."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recops.artifacts import write_json
from recops.config.validated_splits import CandidatesConfig, ValidatedSplitsConfig
from recops.data.acceptance import judge_tables
from recops.data.candidates import candidates_sha256
from recops.data.clean import CleanTables, clean_tables
from recops.data.drift import profile
from recops.data.expectations import SuiteResult
from recops.data.rules import iso_time
from recops.data.sampling import build_samples, taken_items, with_candidates
from recops.data.slices import FITTED_SLICES, check_slices, slice_facts, with_slices
from recops.data.validation_page import render_validation
from recops.records import SliceName
from recops.stage_io import StageIO

PROFILE = "profile.json"


@dataclass(frozen=True)
class SplitsReport:
    """What one run of `validated_splits` accepted, left out and froze.

    Attributes:
        slices: per slice its rows, samples, share of cold targets, share of samples with the time of the user's item
            before, and first and last time (ISO 8601, UTC).
        dropped: well-formed rows and possible samples that are left out, per reason.
        quarantine: rejected rows per table and reason; `quarantine_fraction` is their share of a table.
        warnings: rows that break a rule and stay, per table and reason.
        expectations: how many of Great Expectations were judged, and how many failed, by severity.
        candidates_sha256: equal only for equal samples and candidates; `further_candidates_sha256` is the same for each
            further kind, by the column of samples.parquet.
    """

    num_users: int
    num_items: int
    num_interactions: int
    num_samples: int
    slices: dict[SliceName, dict[str, Any]]
    dropped: dict[str, int]
    quarantine: dict[str, dict[str, int]]
    quarantine_fraction: dict[str, float]
    warnings: dict[str, dict[str, int]]
    expectations: dict[str, int]
    candidates_sha256: str
    further_candidates_sha256: dict[str, str]


def run_validated_splits(io: StageIO, config: ValidatedSplitsConfig, *, seed: int) -> SplitsReport:
    """Write the artefact `validated_splits`.

    Raises:
        InputError: too many rows are rejected, or too few are left for four slices and the candidate sets.
    """
    raw = io.input("raw_data")
    clean = clean_tables(raw, config, seed=seed)
    interactions = with_slices(clean.interactions, config.split)
    with ThreadPoolExecutor(1, "write") as beside:
        writing = [beside.submit(_write_tables, io.out, raw, clean, interactions)]
        taken = taken_items(interactions, len(clean.items))
        samples, dropped = build_samples(interactions, taken, config.split.fitted_on)
        check_slices(samples, interactions)
        samples = with_candidates(
            samples,
            interactions,
            taken,
            user_ids=clean.users["user_id"],
            item_ids=clean.items["item_id"],
            config=config.candidates,
            seed=seed,
        )
        writing.append(beside.submit(samples.write_parquet, io.out / "samples.parquet"))
        slices = slice_facts(interactions, samples)
        suites = {f"{name}_rows": table.suite for name, table in clean.screened.items()}
        suites |= judge_tables(clean, interactions, samples, slices=slices, config=config, seed=seed)
        report = _report(clean, samples, slices, {**clean.dropped, **dropped}, suites, config.candidates)
        for written in writing:
            written.result()
    _write_facts(io.out, slices, suites, report, config)
    for page in (PROFILE, "validation.html"):
        io.tracker.log_file(io.out / page)
    return report


def _report(
    clean: CleanTables,
    samples: pl.DataFrame,
    slices: dict[SliceName, dict[str, int]],
    dropped: dict[str, int],
    suites: dict[str, SuiteResult],
    config: CandidatesConfig,
) -> SplitsReport:
    further = [name for name in config.columns if name != "candidates"]
    return SplitsReport(
        num_users=len(clean.users),
        num_items=len(clean.items),
        num_interactions=len(clean.interactions),
        num_samples=len(samples),
        slices={name: _readable(fact) for name, fact in slices.items()},
        dropped=dropped,
        quarantine=clean.reason_counts,
        quarantine_fraction={name: table.fraction for name, table in clean.screened.items()},
        warnings={name: table.warnings for name, table in clean.screened.items() if table.warnings},
        expectations=_tally(suites),
        candidates_sha256=_hash(samples, _frozen_column(samples), clean.items),
        further_candidates_sha256={name: _hash(samples, name, clean.items) for name in further},
    )


def _hash(samples: pl.DataFrame, column: str, items: pl.DataFrame) -> str:
    return candidates_sha256(
        samples[column].to_numpy(),
        users_S=samples["user"].to_numpy(),
        times_S=samples["timestamp"].to_numpy(),
        item_ids=items["item_id"].to_list(),
    )


def _frozen_column(samples: pl.DataFrame) -> str:
    """What the hash is of: the targets, where candidates are drawn later (and hashed there)."""
    return "candidates" if "candidates" in samples.columns else "target"


def _tally(suites: dict[str, SuiteResult]) -> dict[str, int]:
    results = [one for suite in suites.values() for one in suite.facts["expectations"]]
    failed = [one["severity"] for one in results if not one["success"]]
    return {"total": len(results), "critical_failed": failed.count("critical"), "warnings": failed.count("warning")}


def _readable(facts: dict[str, int]) -> dict[str, Any]:
    """The facts of one slice with dates, as a person reads them, and the shares of cold targets and of ties."""
    shown: dict[str, Any] = {name: facts[name] for name in ("num_interactions", "num_samples")}
    if facts["num_interactions"]:
        shown |= {"first_time": iso_time(facts["first_timestamp"]), "last_time": iso_time(facts["last_timestamp"])}
    if facts["num_samples"]:
        shown["cold_target_fraction"] = facts["num_cold_targets"] / facts["num_samples"]
        shown["tied_fraction"] = facts["num_tied_with_history"] / facts["num_samples"]
    return shown


def _write_tables(out: Path, raw: Path, clean: CleanTables, interactions: pl.DataFrame) -> None:
    """Write everything that is there before candidates are drawn."""
    interactions.write_parquet(out / "interactions.parquet")
    described = pl.scan_parquet(raw / "items.parquet").drop("item_id")
    items = clean.items.lazy().join(described, on="row", how="left").drop("row").sort("item")
    # In one piece: a sink would write each part as it comes, and the bytes would tell of the order of the threads.
    items.collect(engine="streaming").rechunk().write_parquet(out / "items.parquet")
    users, truth = clean.users, raw / "truth.parquet"
    if truth.is_file():
        kinds = pl.read_parquet(truth, columns=["user_id", "kind"])
        users = users.join(kinds, on="user_id", how="left", maintain_order="left")
    users.write_parquet(out / "users.parquet")
    clean.quarantine.write_parquet(out / "quarantine.parquet")
    categories = pl.scan_parquet(out / "items.parquet").select("item", "category").collect()
    write_json(out / PROFILE, profile(interactions, categories))


def _write_facts(
    out: Path,
    slices: dict[SliceName, dict[str, int]],
    suites: dict[str, SuiteResult],
    report: SplitsReport,
    config: ValidatedSplitsConfig,
) -> None:
    validation = {
        "suites": {name: suite.facts for name, suite in suites.items()},
        "quarantine": report.quarantine,
        "warnings": report.warnings,
    }
    write_json(out / "validation.json", validation)
    page = render_validation(validation, asdict(report))
    (out / "validation.html").write_text(page, encoding="utf-8")
    splits = {
        "fitted_slices": FITTED_SLICES[config.split.fitted_on],
        "candidates": config.candidates.model_dump(),
        "slices": slices,
        "dropped": report.dropped,
        "candidates_sha256": report.candidates_sha256,
        "further_candidates_sha256": report.further_candidates_sha256,
    }
    write_json(out / "splits.json", splits)
