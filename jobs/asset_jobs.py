"""Jobs over the assets, each for one recipe: all of them, the data, the agent, the evaluation."""

from dagster import AssetSelection, define_asset_job

full_pipeline = define_asset_job("full_pipeline", AssetSelection.all(), description="Every stage of a recipe.")
refresh_data = define_asset_job(
    "refresh_data",
    AssetSelection.groups("data"),
    description="Read the source again, check and split it: nothing is trained.",
)
train_agent = define_asset_job(
    "train_agent",
    AssetSelection.groups("retrieval", "policy"),
    description="SASRec and every policy, on the data that lies there.",
)
evaluate = define_asset_job(
    "evaluate",
    AssetSelection.groups("evaluation"),
    description="The baselines and the report again, on the policies that lie there.",
)
ASSET_JOBS = {one.name: one for one in (full_pipeline, refresh_data, train_agent, evaluate)}
