"""Ranks of the baselines as tables: what `rankings.parquet` and `metrics.json` of the stage hold.

Shape suffix: N samples.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.config.baselines import BaselinesConfig
from recops.evaluate.candidate_lists import CandidateLists, Ranks
from recops.evaluate.paired import against_bars, best_system, paired_table
from recops.evaluate.ranking import MetricTable, metric_tables
from recops.evaluate.systems import cut
from recops.records import SliceName
from recops.seeds import sub_seed

CATALOGUE = "catalogue"
"""What is ranked when it is all items that the user has not taken."""

RANKINGS_SCHEMA = {
    "system": pl.String,
    "sample_id": pl.Int32,
    "slice": pl.String,
    "ranked": pl.String,
    "rank": pl.Int32,
}


@dataclass(frozen=True)
class Measured:
    """The target's 0-based rank by each system (N,), among `ranked`: a kind of candidates, or `CATALOGUE`."""

    ranked: str
    sample_ids: NDArray[np.int32]
    users: NDArray[np.int64]
    target_is_warm: NDArray[np.bool_]
    ranks: dict[str, Ranks]

    @classmethod
    def of(cls, ranked: str, lists: CandidateLists, ranks: dict[str, Ranks]) -> "Measured":
        """Return ranks on the samples of some lists."""
        return cls(ranked, lists.sample_ids, lists.users, lists.target_is_warm, ranks)

    def kept(self, num_ranked: int) -> dict[str, Ranks]:
        """Return the ranks, those of candidates cut where an agent's list ends."""
        if self.ranked == CATALOGUE:
            return self.ranks
        return {name: cut(ranks_N, num_ranked) for name, ranks_N in self.ranks.items()}


def rank_frame(slice_name: SliceName, measured: Measured) -> pl.DataFrame:
    """Return one row per system and sample."""
    frames = [
        pl.DataFrame(
            {
                "system": system,
                "sample_id": measured.sample_ids,
                "slice": slice_name,
                "ranked": measured.ranked,
                "rank": ranks_N,
            },
            schema=RANKINGS_SCHEMA,
        )
        for system, ranks_N in measured.ranks.items()
    ]
    return pl.concat(frames)


def slice_table(measured: Sequence[Measured], config: BaselinesConfig, *, num_ranked: int, seed: int) -> dict[str, Any]:
    """Return the numbers of one slice: how many samples, and by what was ranked, metrics and differences.

    Lists of candidates end where an agent's do: without this, MRR would be paid for places that an agent cannot fill.
    Lists of the catalogue do not end.
    """
    first = measured[0]
    drawn: Any = {"draws": config.bootstrap_draws, "confidence": config.confidence}
    drawn["seed"] = sub_seed(seed, "bootstrap")
    kept = {one.ranked: one.kept(num_ranked) for one in measured}
    groups = {
        "all": np.ones(len(first.sample_ids), dtype=np.bool_),
        "warm": first.target_is_warm,
        "cold": ~first.target_is_warm,
    }
    tables = {
        group: _group_tables(kept, first.users, members, drawn) for group, members in groups.items() if members.any()
    }
    return {
        "num_samples": len(first.sample_ids),
        "num_cold": int(groups["cold"].sum()),
        "ranked": {
            ranked: {
                "systems": {
                    name: {group: table[ranked, name] for group, table in tables.items()} for name in kept[ranked]
                },
                "differences": _differences(kept[ranked], first.users, config.references, drawn),
            }
            for ranked in kept
        },
    }


def _group_tables(
    kept: dict[str, dict[str, Ranks]], users_N: NDArray[np.int64], members_N: NDArray[np.bool_], drawn: Any
) -> dict[tuple[str, str], MetricTable]:
    """Return the metrics by what was ranked and system: one bootstrap for all, for the users are the same."""
    ranks = {(ranked, name): one[members_N] for ranked, systems in kept.items() for name, one in systems.items()}
    return metric_tables(ranks, users_N[members_N], **drawn)


def _differences(
    ranks: dict[str, Ranks], users_N: NDArray[np.int64], references: Sequence[str], drawn: Any
) -> list[dict[str, Any]]:
    pairs = against_bars(list(ranks), best_system(ranks), [name for name in references if name in ranks])
    return [asdict(one) for one in paired_table(ranks, users_N, pairs, **drawn)]
