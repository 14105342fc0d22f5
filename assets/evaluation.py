"""Everything that is measured: the baselines, and every system on the same frozen candidates."""

from assets.data import raw_data, validated_splits
from assets.policy import base_policy, grpo_model, llm_baselines, ppr_model, sft_checkpoint
from assets.pools import TRAINING_POOL
from assets.retrieval import sasrec_embeddings
from assets.stage import stage_asset

baselines = stage_asset(
    "baselines",
    group="evaluation",
    kinds={"python", "parquet"},
    reads=[raw_data, validated_splits, sasrec_embeddings],
    pool=TRAINING_POOL,
)
evaluation_reports = stage_asset(
    "evaluation_reports",
    group="evaluation",
    kinds={"python", "html"},
    reads=[
        validated_splits,
        sasrec_embeddings,
        baselines,
        base_policy,
        sft_checkpoint,
        grpo_model,
        ppr_model,
        llm_baselines,
    ],
    pool=TRAINING_POOL,
)
