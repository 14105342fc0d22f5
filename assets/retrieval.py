"""The sequential recommender behind the collaborative tools."""

from assets.data import validated_splits
from assets.pools import TRAINING_POOL
from assets.stage import stage_asset

sasrec_embeddings = stage_asset(
    "sasrec_embeddings",
    group="retrieval",
    kinds={"pytorch", "safetensors"},
    reads=[validated_splits],
    pool=TRAINING_POOL,
)
