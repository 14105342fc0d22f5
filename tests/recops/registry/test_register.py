"""A registered model, loaded by MLflow itself."""

import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from safetensors.torch import load_file

from recops.artifacts import MANIFEST, write_json
from recops.config.recipe import load_recipe
from recops.errors import InputError
from recops.evaluate.recommend import Asked, answer, open_scene
from recops.paths import Layout
from recops.registry.bundle import EVALUATION, POLICY
from recops.registry.register import pinned_libraries, register
from recops.tracking import store_uri
from tests.recops.registry.project import NAME, another_policy, change_recipe

URI = f"models:/{NAME}@challenger"
CANDIDATES = [f"i{number}" for number in (3, 9, 14, 20, 27, 33)]


@pytest.fixture(scope="module")
def model(registered: Layout) -> Any:
    return mlflow.pyfunc.load_model(URI)


def asked(**values: Any) -> pd.DataFrame:
    return pd.DataFrame([{"user_id": "u2", **values}])


def test_it_ranks_named_candidates_as_recommending_does(model: Any, registered: Layout) -> None:
    [row] = model.predict(asked(candidates=CANDIDATES)).to_dict("records")
    scene = open_scene(registered, load_recipe(registered.recipe_file), POLICY)
    given = answer(scene, Asked("u2", candidates=tuple(CANDIDATES)))
    assert row["user_id"] == "u2"
    assert row["ranking"] == [item.item_id for item in given.items]
    assert set(row["ranking"]) <= set(CANDIDATES)
    assert row["reasons"] == [turn.text for turn in given.turns if turn.kind == "thought"]
    assert [call["tool"] for call in row["calls"]] == [call.tool for call in given.calls]
    assert [json.loads(call["arguments"]) for call in row["calls"]] == [call.arguments for call in given.calls]
    assert row["error"] == given.error


def test_it_retrieves_where_no_candidates_are_named(model: Any, registered: Layout) -> None:
    scene = open_scene(registered, load_recipe(registered.recipe_file), POLICY)
    given = answer(scene, Asked("u2", catalogue=True, now=True))
    for frame in (asked(), asked(candidates=[]), asked(candidates=None)):
        [row] = model.predict(frame).to_dict("records")
        assert row["ranking"] == [item.item_id for item in given.items]
    assert given.num_episodes > 1


def test_rows_with_and_without_candidates_stand_in_one_request(model: Any) -> None:
    rows = model.predict(
        pd.DataFrame([{"user_id": "u2", "candidates": CANDIDATES}, {"user_id": "u3", "candidates": []}])
    )
    alone = model.predict(asked(candidates=CANDIDATES))
    assert rows["user_id"].tolist() == ["u2", "u3"]
    assert rows["ranking"][0] == alone["ranking"][0]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"user_id": "nobody"}, "row 1: user: found 'nobody'; expected a user of the recipe's data"),
        ({"user_id": ""}, "user_id: found ''"),
        ({"candidates": 7}, "Expected data to be list or numpy array, got int"),
        ({"candidates": ["i1", "gone"]}, "item: found 'gone'; expected an item of the catalogue"),
        ({"candidates": ["i1"]}, "candidates: found only 'i1'; expected two or more items"),
        ({"candidates": ["i1", "i2", "i1"]}, "candidates: found 'i1' twice; expected different items"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(model: Any, values: dict[str, Any], words: str) -> None:
    with pytest.raises(MlflowException) as caught:
        model.predict(asked(**values))
    assert words in str(caught.value)
    assert "such as" not in str(caught.value)  # other users' ids
    assert caught.value.get_http_status_code() == 400


def test_it_works_without_the_project_that_made_it(registered: Layout) -> None:
    hidden = registered.root / "hidden"
    hidden.mkdir()
    for name in ("data", "models", "reports", "recipes"):
        (registered.root / name).rename(hidden / name)
    try:
        rows = mlflow.pyfunc.load_model(URI).predict(asked(candidates=CANDIDATES))
    finally:
        for folder in hidden.iterdir():
            folder.rename(registered.root / folder.name)
        hidden.rmdir()
    assert rows["user_id"].tolist() == ["u2"]


def test_nothing_is_pickled_and_everything_needed_is_there(registered: Layout, model: Any) -> None:
    folder = Path(mlflow.artifacts.download_artifacts(URI))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert not [name for name in names if Path(name).suffix in (".pkl", ".pickle", ".bin", ".pt")]
    policy = f"artifacts/bundle/models/{NAME}/{POLICY}"
    assert {f"{policy}/model.safetensors", f"{policy}/tokenizer.json", "code/recops/cli.py", "model_code.py"} <= names
    adapter = load_file(folder / policy / "adapter" / "adapter_model.safetensors")
    assert any(name.endswith("lora_A.weight") for name in adapter)
    description = Model.load(str(folder))
    assert description.signature.inputs.input_names() == ["user_id", "candidates", "request"]
    assert description.signature.outputs.input_names() == ["user_id", "ranking", "reasons", "calls", "error"]
    example = description.load_input_example(str(folder))
    assert model.predict(example)["user_id"].tolist() == example["user_id"].tolist()
    pinned = (folder / "requirements.txt").read_text(encoding="utf-8").split()
    assert pinned == pinned_libraries()
    assert all("==" in line for line in pinned)


def test_the_version_knows_where_it_comes_from_and_how_fast_it_is(registered: Layout) -> None:
    client = MlflowClient(tracking_uri=store_uri(registered.root))
    version = client.get_model_version_by_alias(NAME, "challenger")
    assert version.tags["candidates_sha256"] == "c0ffee"
    assert version.tags[f"{POLICY}_fingerprint"] == f"fingerprint of {POLICY}"
    assert 0 < float(version.tags["latency_p50_seconds"]) <= float(version.tags["latency_p95_seconds"])
    run = client.get_run(version.run_id)
    assert (run.data.tags["action"], run.info.status) == ("register", "FINISHED")
    assert run.data.metrics["latency_p95_seconds"] == float(version.tags["latency_p95_seconds"])
    [logged] = client.search_logged_models([run.info.experiment_id])
    assert logged.status == "READY"
    assert {metric.key for metric in logged.metrics} >= {"ndcg_at_10", "latency_p95_seconds"}


def test_the_same_model_is_registered_once_and_another_takes_the_alias(layout: Layout) -> None:
    recipe = load_recipe(layout.recipe_file)
    first, again = register(layout, recipe), register(layout, recipe)
    assert (first.version.number, first.is_new) == (1, True)
    assert (again.version.number, again.is_new) == (1, False)
    assert not register(layout, change_recipe(layout, "promotion", margin=0.5)).is_new
    another_policy(layout)
    assert register(layout, recipe).version.number == 2
    client = MlflowClient(tracking_uri=store_uri(layout.root))
    assert client.get_registered_model(NAME).aliases == {"challenger": 2}
    assert not [path for path in (layout.root / "checkpoints" / NAME).iterdir() if path.is_dir()]


def test_artefacts_that_do_not_belong_together_are_not_registered(layout: Layout) -> None:
    changed = change_recipe(layout, "agent", max_calls=9)
    with pytest.raises(InputError, match="made with another agent than the recipe has now"):
        register(layout, changed)
    recipe = change_recipe(layout, "agent", max_calls=4)
    manifest = layout.artefact(EVALUATION) / MANIFEST
    content = json.loads(manifest.read_text(encoding="utf-8"))
    write_json(manifest, {**content, "inputs": {**content["inputs"], POLICY: "another"}})
    with pytest.raises(InputError, match=f"an evaluation of another {POLICY}"):
        register(layout, recipe)
    (layout.artefact(POLICY) / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"model\.safetensors: found no file"):
        register(layout, recipe)
    assert not MlflowClient(tracking_uri=store_uri(layout.root)).search_registered_models()
