"""What the report knows beside the main table: warm and cold targets, differences, calls, ranks, the valid slice."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import polars as pl

from recops.config.evaluation_reports import EvaluationConfig
from recops.data.samples import SLICE_CODES, SampleStore
from recops.evaluate.baseline_choice import against_each
from recops.evaluate.episode_facts import calls_by_kind, calls_by_tool, cost_facts
from recops.evaluate.further import told_differences
from recops.evaluate.sample_facts import kind_by_user
from recops.evaluate.segments import segment_tables
from recops.evaluate.systems import Comparison, rank_histogram, tables_by_system
from recops.evaluate.trust import trust_by_agent
from recops.records import SliceName
from recops.seeds import sub_seed

Details = dict[str, Any]


def describe(
    comparison: Comparison,
    store: SampleStore,
    facts: pl.DataFrame,
    tools: tuple[str, ...],
    *,
    num_ranked: int,
    config: EvaluationConfig,
    seed: int,
) -> Details:
    """Return everything about the compared systems but their main metrics, as plain values.

    Args:
        comparison: the systems.
        store: the samples that they ranked.
        facts: a row per sample, as `recops.evaluate.sample_facts` has them.
        tools: the agents' tools.
        num_ranked: places of a list.
        config: how intervals are drawn, and what every agent is compared with.
        seed: equal seeds give equal values.
    """
    kinds = kind_by_user(store)
    ranks = {system.name: system.ranks for system in comparison.systems}
    played = {agent.name: agent.episodes for agent in comparison.agents}
    drawn: Any = {
        "draws": config.bootstrap_draws,
        "confidence": config.confidence,
        "seed": sub_seed(seed, "bootstrap"),
    }
    return {
        "data": data_facts(store),
        "warm": _part(comparison, comparison.warm, config, seed),
        "cold": _part(comparison, ~comparison.warm, config, seed),
        "differences": told_differences(comparison, config, seed),
        "rank_histogram": {system.name: rank_histogram(system, num_ranked) for system in comparison.systems},
        "calls_by_tool": {agent.name: calls_by_tool(agent.episodes, tools) for agent in comparison.agents},
        "calls_by_kind": {agent.name: calls_by_kind(agent.episodes, kinds, tools) for agent in comparison.agents}
        if kinds
        else {},
        "segments": segment_tables(facts, ranks, **drawn),
        "against": against_each(ranks, comparison.users, **drawn),
        "trust": trust_by_agent(played, comparison.users, tools, **drawn),
        "cost": {name: cost_facts(episodes) for name, episodes in played.items()},
    }


def data_facts(store: SampleStore) -> dict[str, Any]:
    """Return counts, and the first and last day (UTC) of each time slice."""
    return {
        "num_users": store.num_users,
        "num_items": store.num_items,
        "num_interactions": len(store.item),
        "num_test_samples": len(store.sample_ids("test")),
        "slices": {name: _slice_facts(store, name) for name in SLICE_CODES},
    }


def _slice_facts(store: SampleStore, name: SliceName) -> dict[str, Any]:
    times = store.timestamp[store.slice_code == SLICE_CODES[name]]
    if not len(times):
        return {"num_interactions": 0}
    return {"num_interactions": len(times), "first": _day(times.min()), "last": _day(times.max())}


def _part(comparison: Comparison, kept_N: Any, config: EvaluationConfig, seed: int) -> dict[str, Any]:
    tables = tables_by_system(comparison, kept_N, config, seed)
    return {"num_samples": int(np.count_nonzero(kept_N)), "systems": tables}


def _day(milliseconds: int) -> str:
    return datetime.fromtimestamp(int(milliseconds) / 1000, tz=UTC).strftime("%Y-%m-%d")
