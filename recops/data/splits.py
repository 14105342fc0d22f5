"""Stage `validated_splits`: accepted rows, indices, four time slices, samples with frozen candidates, quarantine."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from recops.artifacts import write_json
from recops.config.validated_splits import CandidatesConfig, ValidatedSplitsConfig
from recops.data.candidates import candidates_sha256
from recops.data.clean import Screened, k_core, reason_counts, screen
from recops.data.sampling import build_samples, taken_items, with_candidates
from recops.data.slices import FITTED_SLICES, check_slices, slice_facts, with_slices
from recops.data.window import in_window
from recops.records import SliceName
from recops.stage_io import StageIO


@dataclass(frozen=True)
class SplitsReport:
    """What one run of `validated_splits` accepted, left out and froze.

    Attributes:
        slices: per slice its rows, samples, share of cold targets, share of samples with the time of the user's item
            before, and first and last time (ISO 8601, UTC).
        dropped: well-formed rows and possible samples that are left out, per reason.
        quarantine: rejected rows per table and reason; `quarantine_fraction` is their share of a table.
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
    candidates_sha256: str
    further_candidates_sha256: dict[str, str]


@dataclass(frozen=True)
class _Indexed:
    """Tables with indices in place of ids; see docs/artefacts.md for the columns."""

    interactions: pl.DataFrame
    items: pl.DataFrame
    users: pl.DataFrame


def run_validated_splits(io: StageIO, config: ValidatedSplitsConfig, *, seed: int) -> SplitsReport:
    """Write the artefact `validated_splits`.

    Raises:
        InputError: too many rows are rejected, or too few are left for four slices and the candidate sets.
    """
    raw = io.input("raw_data")
    screened = screen(
        pl.read_parquet(raw / "interactions.parquet"),
        pl.read_parquet(raw / "items.parquet"),
        max_quarantine_fraction=config.max_quarantine_fraction,
    )
    inside = screened.interactions.filter(in_window(config.window))
    core = k_core(
        inside,
        min_per_user=config.min_interactions_per_user,
        min_per_item=config.min_interactions_per_item,
    )
    indexed = _indexed(core, screened.items, _truth(raw), config)
    taken = taken_items(indexed.interactions, len(indexed.items))
    samples, dropped = build_samples(indexed.interactions, taken, config.split.fitted_on)
    check_slices(samples, indexed.interactions)
    dropped = {
        "exact_repeats": screened.num_exact_repeats,
        "interactions_outside_window": len(screened.interactions) - len(inside),
        "interactions_outside_core": len(inside) - len(core),
        "items_outside_core": len(screened.items) - len(indexed.items),
        **dropped,
    }
    samples = with_candidates(
        samples,
        indexed.interactions,
        taken,
        user_ids=indexed.users["user_id"],
        item_ids=indexed.items["item_id"],
        config=config.candidates,
        seed=seed,
    )
    report = _report(indexed, samples, dropped, screened, config.candidates)
    _write(io.out, indexed, samples, screened, report, config)
    return report


def _truth(raw: Path) -> pl.DataFrame | None:
    path = raw / "truth.parquet"
    return pl.read_parquet(path, columns=["user_id", "kind"]) if path.is_file() else None


def _indexed(
    core: pl.DataFrame, items: pl.DataFrame, truth: pl.DataFrame | None, config: ValidatedSplitsConfig
) -> _Indexed:
    """Number users and items in the order of their ids, so that the order of the source's rows changes nothing."""
    users = core.select(pl.col("user_id").unique().sort()).with_row_index("user")
    users = users.with_columns(pl.col("user").cast(pl.Int32))
    known = items.filter(pl.col("item_id").is_in(core["item_id"].implode())).sort("item_id").drop("row")
    known = known.with_row_index("item", offset=1).with_columns(pl.col("item").cast(pl.Int32))
    interactions = (
        core.join(users, on="user_id", how="left")
        .join(known.select("item", "item_id"), on="item_id", how="left")
        .sort("user", "timestamp", "row")
        .select("user", "item", "timestamp", "rating")
    )
    interactions = with_slices(interactions, config.split)
    if truth is not None:
        users = users.join(truth, on="user_id", how="left", maintain_order="left")
    return _Indexed(interactions, known, users)


def _report(
    indexed: _Indexed, samples: pl.DataFrame, dropped: dict[str, int], screened: Screened, config: CandidatesConfig
) -> SplitsReport:
    facts = slice_facts(indexed.interactions, samples)
    further = [name for name in config.columns if name != "candidates"]
    return SplitsReport(
        num_users=len(indexed.users),
        num_items=len(indexed.items),
        num_interactions=len(indexed.interactions),
        num_samples=len(samples),
        slices={name: _readable(fact) for name, fact in facts.items()},
        dropped=dropped,
        quarantine=reason_counts(screened.quarantine),
        quarantine_fraction=screened.fractions,
        candidates_sha256=_hash(samples, _frozen_column(samples), indexed.items),
        further_candidates_sha256={name: _hash(samples, name, indexed.items) for name in further},
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


def _readable(facts: dict[str, int]) -> dict[str, Any]:
    """The facts of one slice with dates, as a person reads them, and the shares of cold targets and of ties."""
    shown: dict[str, Any] = {name: facts[name] for name in ("num_interactions", "num_samples")}
    if facts["num_interactions"]:
        shown |= {"first_time": _iso(facts["first_timestamp"]), "last_time": _iso(facts["last_timestamp"])}
    if facts["num_samples"]:
        shown["cold_target_fraction"] = facts["num_cold_targets"] / facts["num_samples"]
        shown["tied_fraction"] = facts["num_tied_with_history"] / facts["num_samples"]
    return shown


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC).isoformat(timespec="milliseconds")


def _write(
    out: Path,
    indexed: _Indexed,
    samples: pl.DataFrame,
    screened: Screened,
    report: SplitsReport,
    config: ValidatedSplitsConfig,
) -> None:
    indexed.interactions.write_parquet(out / "interactions.parquet")
    indexed.items.write_parquet(out / "items.parquet")
    indexed.users.write_parquet(out / "users.parquet")
    samples.write_parquet(out / "samples.parquet")
    screened.quarantine.write_parquet(out / "quarantine.parquet")
    write_json(out / "validation.json", {"suites": screened.suites, "quarantine": report.quarantine})
    splits = {
        "fitted_slices": FITTED_SLICES[config.split.fitted_on],
        "candidates": config.candidates.model_dump(),
        "slices": slice_facts(indexed.interactions, samples),
        "dropped": report.dropped,
        "candidates_sha256": report.candidates_sha256,
        "further_candidates_sha256": report.further_candidates_sha256,
    }
    write_json(out / "splits.json", splits)
