"""The agent, from a policy that has seen nothing to one trained on its own ranking mistakes, and its LLM rivals."""

from datetime import timedelta

from dagster import FreshnessPolicy

from assets.data import raw_data, validated_splits
from assets.pools import TRAINING_POOL
from assets.retrieval import sasrec_embeddings
from assets.stage import stage_asset

_MODEL = {"pytorch", "huggingface", "safetensors"}
MONTHLY = FreshnessPolicy.time_window(warn_window=timedelta(days=29), fail_window=timedelta(days=57))
"""Not weekly, as data: a week without new rows retrains nothing."""

base_policy = stage_asset("base_policy", group="policy", kinds=_MODEL, reads=[raw_data], pool=TRAINING_POOL)
expert_episodes = stage_asset(
    "expert_episodes",
    group="policy",
    kinds={"python", "parquet"},
    reads=[validated_splits, sasrec_embeddings, base_policy],
    pool=TRAINING_POOL,
)
sft_checkpoint = stage_asset(
    "sft_checkpoint", group="policy", kinds=_MODEL, reads=[base_policy, expert_episodes], pool=TRAINING_POOL
)
grpo_model = stage_asset(
    "grpo_model",
    group="policy",
    kinds=_MODEL,
    reads=[sft_checkpoint, validated_splits, sasrec_embeddings],
    pool=TRAINING_POOL,
)
preference_pairs = stage_asset(
    "preference_pairs",
    group="policy",
    kinds={"python", "parquet"},
    reads=[grpo_model, validated_splits, sasrec_embeddings],
    pool=TRAINING_POOL,
)
ppr_model = stage_asset(
    "ppr_model",
    group="policy",
    kinds=_MODEL,
    reads=[grpo_model, preference_pairs, validated_splits, sasrec_embeddings],
    pool=TRAINING_POOL,
    freshness=MONTHLY,
)
llm_baselines = stage_asset(
    "llm_baselines",
    group="policy",
    kinds=_MODEL,
    reads=[base_policy, validated_splits, sasrec_embeddings],
    pool=TRAINING_POOL,
)
