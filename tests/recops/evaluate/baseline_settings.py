"""Settings of the stage `baselines` for the small splits of tests/recops/retrieval, and what its systems need."""

from pathlib import Path

import polars as pl

from recops.config.agent import AgentConfig
from recops.config.baselines import AlsConfig, BaselinesConfig, ItemKnnConfig, LambdaMartConfig
from recops.evaluate.candidate_lists import CandidateLists, candidate_items, candidate_lists, score_slice
from recops.evaluate.scorers import scorers
from recops.evaluate.tool_answers import ordering_toolbox, tool_answers
from recops.records import Sample
from recops.retrieval.evidence import Evidence
from tests.recops.retrieval.small_splits import AGENT, NUM_CANDIDATES, NUM_ITEMS, stage_io

SINGLES = (
    "random",
    "popularity",
    "recent_popularity",
    "item_knn",
    "als",
    "text_similarity",
    "similar_users",
    "taken_together",
    "sasrec",
)
MERGES = ("fusion", "lambdamart", "lambdamart_scores")
WINDOW = "popularity_2_days"
TOOLS = (
    "get_user_history",
    "rank_by_next_item",
    "rank_by_similarity",
    "rank_by_popularity",
    "get_similar_users",
    "rank_by_taken_together",
    "analyze_candidates",
)
FULL_AGENT: AgentConfig = AGENT.model_copy(update={"tools": TOOLS, "tool_fields": ("category",)})
CONFIG = BaselinesConfig(
    systems=(*SINGLES, *MERGES),
    popularity_windows_days=(2,),
    references=("recent_popularity", "sasrec"),
    item_knn=ItemKnnConfig(num_neighbours=20, shrinkage=1.0, history_length=5, recency_decay=0.5),
    als=AlsConfig(width=4, regularization=0.1, confidence=5.0, iterations=5),
    sentence_model=None,
    lambdamart=LambdaMartConfig(num_trees=30, learning_rate=0.1, num_leaves=7, min_candidates_per_leaf=10),
    bootstrap_draws=100,
    confidence=0.95,
)


def with_further_candidates(splits: Path) -> Path:
    """Freeze a second kind of candidates: the target and the items that follow it."""
    samples = pl.read_parquet(splits / "samples.parquet")
    further = [
        [(target - 1 + step * 3) % NUM_ITEMS + 1 for step in range(NUM_CANDIDATES)] for target in samples["target"]
    ]
    samples.with_columns(pl.Series("candidates_popularity", further, dtype=pl.List(pl.Int32))).write_parquet(
        splits / "samples.parquet"
    )
    return splits


def evidence_of(fitted: Path, splits: Path, agent: AgentConfig = FULL_AGENT) -> Evidence:
    """Evidence over some splits with the SASRec that was fitted before."""
    return Evidence.load(splits, stage_io(fitted, "sasrec_embeddings").out, agent, 7)


def lists_of(
    evidence: Evidence, splits: Path, samples: list[Sample], agent: AgentConfig = FULL_AGENT
) -> CandidateLists:
    """Every single system's lists of samples."""
    systems = scorers(CONFIG.singles, evidence, splits, CONFIG, agent=agent, seed=7)
    scores = score_slice(evidence, systems, samples, {"candidates": candidate_items(samples)})
    answers = tool_answers(ordering_toolbox(evidence, agent), samples, agent)
    return candidate_lists(evidence, samples, scores.candidates["candidates"], answers)
