"""Names, order and edges of the stages: the one vocabulary of Dagster, DVC, MLflow, recipes and folders.

Nothing heavy is imported here: a stage's function is named by a string and loaded by `recops.runner` when it runs.
"""

from dataclasses import dataclass
from typing import Literal, get_args

StageName = Literal[
    "raw_data",
    "validated_splits",
    "sasrec_embeddings",
    "baselines",
    "base_policy",
    "expert_episodes",
    "sft_checkpoint",
    "grpo_model",
    "preference_pairs",
    "ppr_model",
    "llm_baselines",
    "evaluation_reports",
]
STAGE_NAMES: tuple[StageName, ...] = get_args(StageName)

Root = Literal["data", "models", "reports"]
Shared = Literal["seed", "training_seed", "agent"]
SEEDS: tuple[Shared, ...] = ("seed", "training_seed")
"""`seed` draws data and tests, `training_seed` weights and episodes: three trainings can meet the same samples."""


@dataclass(frozen=True)
class Stage:
    """One node of the graph.

    `reads` are the stages whose artefacts it opens; `shared` are the recipe's sections that it reads beside its own;
    `distributed` says whether its function can share its batches with other workers (`recops.workers`).
    """

    name: StageName
    function: str
    root: Root
    reads: tuple[StageName, ...]
    shared: tuple[Shared, ...]
    description: str
    distributed: bool = False


_STAGES = (
    Stage(
        "raw_data",
        "recops.data.sources:run_raw_data",
        "data",
        reads=(),
        shared=("seed",),
        description="Interactions and items, fetched or generated, in one schema.",
    ),
    Stage(
        "validated_splits",
        "recops.data.splits:run_validated_splits",
        "data",
        reads=("raw_data",),
        shared=("seed",),
        description="Clean interactions and items, four time slices, frozen candidate sets, quarantine.",
    ),
    Stage(
        "sasrec_embeddings",
        "recops.retrieval.fit:run_sasrec",
        "models",
        reads=("validated_splits",),
        shared=("training_seed",),
        description="SASRec fitted on `tool_fit` only: weights, item and user embeddings.",
    ),
    Stage(
        "baselines",
        "recops.evaluate.baselines:run_baselines",
        "reports",
        reads=("raw_data", "validated_splits", "sasrec_embeddings"),
        shared=("seed", "agent"),
        description="What a user would pick instead of an agent, on the same frozen candidates.",
    ),
    Stage(
        "base_policy",
        "recops.train.embedded:run_base_policy",
        "models",
        reads=("raw_data",),
        shared=("training_seed", "agent"),
        description="The policy before it has seen a real episode.",
    ),
    Stage(
        "expert_episodes",
        "recops.agent.experts:run_expert_episodes",
        "data",
        reads=("validated_splits", "sasrec_embeddings", "base_policy"),
        shared=("training_seed", "agent"),
        description="Scripted and self-played conversations, filtered by outcome.",
    ),
    Stage(
        "sft_checkpoint",
        "recops.train.sft:run_sft",
        "models",
        reads=("base_policy", "expert_episodes"),
        shared=("training_seed", "agent"),
        description="Supervised fine-tuning on expert episodes; loss on the assistant's tokens only.",
        distributed=True,
    ),
    Stage(
        "grpo_model",
        "recops.train.grpo:run_grpo",
        "models",
        reads=("sft_checkpoint", "validated_splits", "sasrec_embeddings"),
        shared=("training_seed", "agent"),
        description="List-wise GRPO with an NDCG reward on whole tool-using episodes.",
        distributed=True,
    ),
    Stage(
        "preference_pairs",
        "recops.train.pairs:run_preference_pairs",
        "data",
        reads=("grpo_model", "validated_splits", "sasrec_embeddings"),
        shared=("training_seed", "agent"),
        description="Ranking violations of the GRPO model on `policy_train`.",
    ),
    Stage(
        "ppr_model",
        "recops.train.ppr:run_ppr",
        "models",
        reads=("grpo_model", "preference_pairs", "validated_splits", "sasrec_embeddings"),
        shared=("training_seed", "agent"),
        description="Progressive Preference Refinement: GRPO on the model's own ranking mistakes, both directions.",
        distributed=True,
    ),
    Stage(
        "llm_baselines",
        "recops.train.llm_baselines:run_llm_baselines",
        "models",
        reads=("base_policy", "validated_splits", "sasrec_embeddings"),
        shared=("training_seed", "agent"),
        description="LLaRA and S-DPO: the agent's backbone as a ranker without tools, where the recipe wants them.",
    ),
    Stage(
        "evaluation_reports",
        "recops.evaluate.report:run_evaluation",
        "reports",
        reads=(
            "validated_splits",
            "sasrec_embeddings",
            "baselines",
            "base_policy",
            "sft_checkpoint",
            "grpo_model",
            "ppr_model",
            "llm_baselines",
        ),
        shared=("seed", "agent"),
        description="Every system on the same frozen test candidates: metrics, tables, plots, one HTML page.",
    ),
)
STAGES: dict[StageName, Stage] = {stage.name: stage for stage in _STAGES}
"""Every stage, upstream before downstream."""
