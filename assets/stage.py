"""The only mechanism between Dagster and the library: an asset that runs a stage of `recops` in a child process.

What the child reports through Dagster Pipes (metadata, data version) becomes the materialization.
"""

from collections.abc import Sequence

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    FreshnessPolicy,
    MaterializeResult,
    PipesSubprocessClient,
    asset,
)

from assets.children import RETRIES, run_child
from assets.partitions import RECIPES
from recops.stage import STAGES, StageName
from recops.versioning import CODE_ROOT, code_sha256


def stage_asset(
    name: StageName,
    *,
    group: str,
    kinds: set[str],
    reads: Sequence[AssetsDefinition] = (),
    pool: str,
    freshness: FreshnessPolicy | None = None,
) -> AssetsDefinition:
    """Return the asset of a stage.

    Args:
        name: the stage, which names the asset.
        group: part of the graph in Dagster's catalog.
        kinds: what it is made with, at most three.
        reads: the assets whose artefacts the stage opens; by object, for Dagster accepts any string.
        pool: one of `assets.pools`: the assets of a pool run one at a time.
        freshness: how old the newest materialization may become before the catalog warns.
    """

    @asset(
        name=name,
        deps=reads,
        partitions_def=RECIPES,
        group_name=group,
        kinds=kinds,
        owners=["team:recommendation"],
        description=STAGES[name].description,
        code_version=code_sha256(CODE_ROOT, name)[:16],
        pool=pool,
        retry_policy=RETRIES,
        freshness_policy=freshness,
    )
    def run(context: AssetExecutionContext, pipes: PipesSubprocessClient) -> MaterializeResult:
        extras = {"stage": name, "recipe": context.partition_key}
        done = run_child(context, pipes, "assets.child", what=name, extras=extras)
        # Not implicitly: a child whose report was lost would leave a materialization without version, run and hashes.
        return done.get_materialize_result(implicit_materialization=False)

    return run
