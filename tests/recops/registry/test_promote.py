"""Decisions over registered models, in a real store of MLflow."""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from mlflow import MlflowClient
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from recops.artifacts import read_json, write_json
from recops.cli import app
from recops.config.recipe import load_recipe
from recops.errors import InputError
from recops.metrics import ABSENT
from recops.paths import Layout
from recops.registry.bundle import EVALUATION, POLICY, open_bundle
from recops.registry.commands import EXIT_REFUSED
from recops.registry.model_registry import ModelRegistry
from recops.registry.newest import Newest
from recops.registry.played import played_on
from recops.registry.promote import Decision, promote
from recops.registry.register import register
from recops.registry.roll_back import roll_back
from recops.tracking import store_uri
from tests.recops.agent.world import AGENT
from tests.recops.evaluate.small_pipeline import NUM_CANDIDATES
from tests.recops.registry.project import NAME, another_policy, change_recipe, evaluate, flatter, sign

DAY = 86_400_000


def client_of(layout: Layout) -> MlflowClient:
    return MlflowClient(tracking_uri=store_uri(layout.root))


def aliases(layout: Layout) -> dict[str, int]:
    return {name: int(number) for name, number in client_of(layout).get_registered_model(NAME).aliases.items()}


def registered(layout: Layout) -> int:
    return register(layout, load_recipe(layout.recipe_file)).version.number


def decided(layout: Layout) -> Decision:
    return promote(layout, load_recipe(layout.recipe_file))


def broken(decision: Decision) -> list[str]:
    return [condition.name for condition in decision.conditions if not condition.holds]


def spoil(layout: Layout) -> None:
    """Zero the policy's weights: it answers nothing."""
    weights = layout.artefact(POLICY) / "model.safetensors"
    save_file({name: tensor * 0 for name, tensor in load_file(weights).items()}, weights, metadata={"format": "pt"})
    evaluate(layout)


def test_a_model_that_ranks_as_chance_does_becomes_no_first_champion(layout: Layout) -> None:
    spoil(layout)
    change_recipe(layout, "promotion", max_invalid_fraction=1.0)
    registered(layout)
    refused = decided(layout)
    assert (refused.outcome, broken(refused)) == ("refused", ["ndcg@10, challenger minus random"])
    assert aliases(layout) == {"challenger": 1}
    metrics = client_of(layout).get_run(refused.run_id).data.metrics
    worth = sum(1 / np.log2(place + 2) for place in range(AGENT.num_ranked)) / NUM_CANDIDATES
    assert metrics["above_random_mean"] == pytest.approx(-worth)


def test_without_a_champion_the_limits_decide_and_every_decision_is_recorded(layout: Layout) -> None:
    with pytest.raises(InputError, match="recops register small"):
        decided(layout)
    evaluate(layout, gained=0.2)
    flatter(layout)
    registered(layout)
    change_recipe(layout, "promotion", max_gained_fraction=0.1)
    refused = decided(layout)
    assert (refused.outcome, refused.champion, broken(refused)) == ("refused", None, ["planted texts"])
    assert aliases(layout) == {"challenger": 1}
    tags = client_of(layout).get_run(refused.run_id).data.tags
    assert (tags["decision"], tags["reasons"]) == ("refused", "planted texts")
    assert client_of(layout).get_model_version(NAME, "1").tags["decision_reasons"] == "planted texts"
    change_recipe(layout, "promotion", max_gained_fraction=0.2)
    decision = decided(layout)
    assert (decision.outcome, decision.champion) == ("promoted", None)
    assert aliases(layout) == {"challenger": 1, "champion": 1}
    assert not [one for one in decision.conditions if "champion" in one.name]
    run = client_of(layout).get_run(decision.run_id)
    assert (run.data.tags["decision"], run.data.tags["reasons"]) == ("promoted", "every condition holds")
    assert "| planted texts | lift their item in 20.0% of episodes |" in run.data.tags["mlflow.note.content"]
    assert run.data.params["margin"] == "0.02"
    version = client_of(layout).get_model_version(NAME, "1")
    assert (version.tags["decision"], version.tags["decision_run"]) == ("promoted", decision.run_id)
    assert decided(layout).outcome == "unchanged"
    assert client_of(layout).get_model_version(NAME, "1").tags["decision_run"] == decision.run_id


@pytest.mark.slow
def test_an_equal_challenger_takes_the_place_a_worse_one_does_not_and_the_place_is_given_back(layout: Layout) -> None:
    registered(layout)
    ModelRegistry(layout.root, NAME).crown(1)
    another_policy(layout)
    registered(layout)
    equal = decided(layout)
    assert (equal.outcome, equal.champion) == ("promoted", 1)
    done = roll_back(layout)
    assert (done.champion, done.removed) == (1, 2)
    assert aliases(layout) == {"challenger": 2, "champion": 1}
    assert client_of(layout).get_run(done.run_id).data.tags["decision"] == "rolled back"
    again = decided(layout)
    assert (again.outcome, broken(again)) == ("refused", ["never rolled back"])
    spoil(layout)
    registered(layout)
    worse = decided(layout)
    assert (worse.outcome, worse.challenger, worse.champion) == ("refused", 3, 1)
    assert broken(worse) == ["ndcg@10, challenger minus champion"]
    assert aliases(layout) == {"challenger": 3, "champion": 1}
    metrics = client_of(layout).get_run(worse.run_id).data.metrics
    assert metrics["difference_low"] <= metrics["difference_mean"] < 0
    assert metrics["challenger_invalid_fraction"] == 1.0


def later(layout: Layout, first_day: int) -> None:
    """Data with other candidates, that begin on another day."""
    splits = layout.artefact("validated_splits")
    content = read_json(splits / "splits.json")
    content["slices"]["test"]["first_timestamp"] = first_day * DAY
    write_json(splits / "splits.json", {**content, "candidates_sha256": f"from day {first_day}"})
    sign(layout, load_recipe(layout.recipe_file), "validated_splits")


def test_a_model_that_has_not_played_the_newest_candidates_plays_them_now(layout: Layout, tmp_path: Path) -> None:
    recipe = load_recipe(layout.recipe_file)
    bundle = open_bundle(shutil.copytree(layout.root, tmp_path / "bundle"))
    (tmp_path / "data").mkdir()
    del bundle.content["sasrec_embeddings"]["width"]  # registered when the recipe had other keys
    with pytest.raises(InputError, match=r"sasrec_embeddings\.width"):
        bundle.recipe.model_dump()
    told = played_on(Newest.of(layout, recipe), bundle, tmp_path / "data")
    later(layout, 60)
    now = played_on(Newest.of(layout, recipe), bundle, tmp_path / "data")
    assert (told.was_now, now.was_now) == (False, True)
    assert told.ranks.min() < ABSENT
    np.testing.assert_array_equal(now.ranks, told.ranks)
    assert now.invalid_fraction == told.invalid_fraction < 1
    bundle.content["agent"]["unknown"] = 1
    with pytest.raises(InputError, match="Register the model again"):
        played_on(Newest.of(layout, recipe), bundle, tmp_path / "data")


@pytest.mark.slow
def test_both_play_the_newest_candidates_unless_one_was_trained_on_them(layout: Layout) -> None:
    registered(layout)
    ModelRegistry(layout.root, NAME).crown(1)
    later(layout, 20)
    evaluate(layout)
    registered(layout)
    decision = decided(layout)
    assert (decision.outcome, broken(decision)) == ("refused", ["champion not trained on the candidates"])
    [condition] = [one for one in decision.conditions if not one.holds]
    assert condition.found == "trained until 1970-02-02, candidates from 1970-01-21"
    later(layout, 60)
    evaluate(layout)
    registered(layout)
    decision = decided(layout)
    assert (decision.outcome, decision.challenger) == ("promoted", 3)
    run = client_of(layout).get_run(decision.run_id)
    assert run.data.tags["candidates_sha256"] == "from day 60"
    told = (run.data.tags["challenger_played"], run.data.tags["champion_played"])
    assert told == ("in its own evaluation", "for this decision")
    assert run.data.metrics["difference_mean"] == 0.0


def test_what_the_models_own_evaluation_says_is_not_played_again(layout: Layout, tmp_path: Path) -> None:
    file = layout.artefact(EVALUATION) / "rankings.parquet"
    pl.read_parquet(file).with_columns(pl.lit(1, pl.Int32).alias("rank"), valid_answer=False).write_parquet(file)
    told = played_on(Newest.of(layout, load_recipe(layout.recipe_file)), open_bundle(layout.root), tmp_path)
    assert (set(told.ranks.tolist()), told.invalid_fraction) == ({1}, 1.0)
    pl.read_parquet(file).head(3).write_parquet(file)
    assert played_on(Newest.of(layout, load_recipe(layout.recipe_file)), open_bundle(layout.root), tmp_path).was_now


def test_the_commands_print_the_table_and_say_it_with_their_exit_code(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOPS_ROOT", str(layout.root))
    flatter(layout)
    runner = CliRunner()
    assert "small version 1 (registered now) is the challenger" in runner.invoke(app, ["register", NAME]).stdout
    change_recipe(layout, "promotion", max_latency_p95_seconds=1e-9)
    refused = runner.invoke(app, ["promote", NAME])
    assert refused.exit_code == EXIT_REFUSED
    assert "small version 1 is refused; there is no champion" in refused.stdout
    assert "latency, 95 % of requests" in refused.stdout
    change_recipe(layout, "promotion", max_latency_p95_seconds=600.0)
    promoted = runner.invoke(app, ["promote", NAME])
    assert promoted.exit_code == 0
    assert "small version 1 is the champion now; before it was nobody" in promoted.stdout
    assert isinstance(runner.invoke(app, ["rollback", NAME]).exception, InputError)
