"""The job `promote`: whether the challenger of a recipe becomes its champion, with the decision as metadata.

A refusal is a decision, not a failure: the run succeeds, and says so. What fails is a model or data that is missing.
"""

from dagster import MetadataValue, OpExecutionContext, PipesSubprocessClient, job, op

from assets.children import RETRIES, run_child
from assets.partitions import RECIPES
from assets.pools import TRAINING_POOL


@op(pool=TRAINING_POOL, retry_policy=RETRIES)
def decide_promotion(context: OpExecutionContext, pipes: PipesSubprocessClient) -> None:
    """Let both models play the newest candidates where they have not, and move the alias or leave it."""
    recipe = context.partition_key
    done = run_child(context, pipes, "jobs.promotion_child", what=f"promotion of {recipe}", extras={"recipe": recipe})
    [told] = done.get_custom_messages()
    context.instance.add_run_tags(context.run_id, {"recops/decision": told["outcome"]})
    context.add_output_metadata(
        {
            "decision": told["sentence"],
            "conditions": MetadataValue.md(told["conditions"]),
            "mlflow_run": MetadataValue.url(told["url"]),
        }
    )


@job(
    partitions_def=RECIPES,
    description="The challenger becomes the champion if it is as good on the newest candidates and keeps the limits.",
)
def promote() -> None:
    """Decide once, for one recipe."""
    decide_promotion()
