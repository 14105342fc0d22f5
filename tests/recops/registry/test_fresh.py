"""The champion plays the newest candidates by itself, and MLflow keeps what it did."""

import polars as pl
import pytest

from recops.artifacts import MANIFEST, read_json, write_json
from recops.config.recipe import load_recipe
from recops.data.samples import HARD_CANDIDATES
from recops.errors import InputError
from recops.metrics import ndcg_at_k
from recops.paths import Layout
from recops.registry.bundle import EVALUATION
from recops.registry.fresh import measure_champion
from recops.registry.model_registry import CHALLENGER, ModelRegistry
from recops.registry.scores import champion_scores


def test_on_the_candidates_of_its_evaluation_the_champion_scores_what_that_says(registered: Layout) -> None:
    recipe = load_recipe(registered.recipe_file)
    with pytest.raises(InputError, match="no champion"):
        measure_champion(registered, recipe)
    registry = ModelRegistry(registered.root, recipe.name)
    version = registry.aliased(CHALLENGER)
    assert version is not None
    registry.crown(version.number)
    assert "was not measured on fresh data yet" in str(champion_scores(registered.root, recipe.name))
    score = measure_champion(registered, recipe)
    assert score.version == version.number
    ranks = pl.read_parquet(registered.artefact(EVALUATION) / "rankings.parquet")["rank"].to_numpy()
    assert score.ndcg_at_10 == pytest.approx(float(ndcg_at_k(ranks, 10).mean()))
    scores = champion_scores(registered.root, recipe.name)
    assert not isinstance(scores, str)
    assert (scores.version, scores.run_id) == (score.version, score.run_id)
    assert scores.newest == score.ndcg_at_10
    assert scores.drop == pytest.approx(float(version.tags["ndcg_at_10"]) - score.ndcg_at_10)


def test_candidates_that_sasrec_chose_wait_for_one_of_the_newest_splits(registered: Layout) -> None:
    recipe, sasrec = load_recipe(registered.recipe_file), registered.artefact("sasrec_embeddings")
    ModelRegistry(registered.root, recipe.name).crown(1)
    (sasrec / HARD_CANDIDATES).write_bytes(b"")
    manifest = read_json(sasrec / MANIFEST)
    write_json(sasrec / MANIFEST, {**manifest, "inputs": {"validated_splits": "of other splits"}})
    with pytest.raises(InputError, match="hard candidates of older splits"):
        measure_champion(registered, recipe)
