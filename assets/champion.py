"""The model that serves: an asset that no run makes, with a materialization for each version that the alias moved to.

Whoever moves the alias (the job `promote`, `recops promote` and `rollback`, MLflow's page) is not asked to tell: the
sensor `champion_moved` looks.
"""

from collections.abc import Mapping

from dagster import AssetMaterialization, AssetSpec, MetadataValue

from assets.evaluation import evaluation_reports
from assets.partitions import RECIPES
from assets.policy import MONTHLY, ppr_model

CHAMPION = AssetSpec(
    "champion",
    deps=[ppr_model, evaluation_reports],
    description="The registered model that serves: the version with the alias `champion`, one for each recipe.",
    group_name="registry",
    kinds={"mlflow"},
    owners=["team:recommendation"],
    partitions_def=RECIPES,
    freshness_policy=MONTHLY,
)


def new_champion(recipe: str, version: int, tags: Mapping[str, str], url: str) -> AssetMaterialization:
    """Return what the catalog is told of a version that has become champion.

    Args:
        recipe: the partition.
        version: number of the version.
        tags: of the version, as registering and promoting wrote them; those that are numbers are drawn over time.
        url: the version's page in MLflow.
    """
    told = {name: _number(text) for name, text in tags.items()}
    metadata = {**told, "version": version, "mlflow_version": MetadataValue.url(url)}
    return AssetMaterialization(CHAMPION.key, partition=recipe, metadata=metadata)


def _number(text: str) -> str | float:
    try:
        return float(text)
    except ValueError:
        return text
