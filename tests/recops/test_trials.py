"""Trials of a tiny recipe, with the real stages that take a second."""

import shutil
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from recops.artifacts import read_json, verify
from recops.config.overrides import overridden, parse_overrides
from recops.config.recipe import load_recipe
from recops.errors import InputError
from recops.paths import Layout
from recops.runner import run_stage
from recops.stage import STAGE_NAMES, StageName
from recops.tracking import store_uri
from recops.trials import Late, TrialStage, _source, run_trial, stages_through
from tests.pipeline.project import RECIPE, tiny_recipe

FEWER = {"validated_splits.candidates.num_candidates": 10}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a recipe and its finished `raw_data`."""
    root = tmp_path_factory.mktemp("root")
    layout = Layout(root, RECIPE)
    layout.recipe_file.parent.mkdir()
    layout.recipe_file.write_text(yaml.safe_dump(tiny_recipe()), encoding="utf-8")
    run_stage("raw_data", recipe=load_recipe(layout.recipe_file), layout=layout)
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "root")


def trial(root: Path, overrides: dict[str, object]) -> dict[str, TrialStage]:
    made = run_trial(root, RECIPE, overrides, through="validated_splits", tags={"study": "a test"})
    return {stage.name: stage for stage in made}


def test_a_trial_reads_upstream_from_the_recipe_and_writes_below_runs(root: Path) -> None:
    made = trial(root, FEWER)
    layout = Layout(root, RECIPE)
    assert (made["raw_data"].origin, made["raw_data"].artefact) == ("recipe", layout.artefact("raw_data"))
    splits = made["validated_splits"]
    assert (splits.origin, splits.artefact.parent) == ("run", root / "runs" / RECIPE / "validated_splits")
    assert verify(splits.artefact)["settings"]["validated_splits"]["candidates"]["num_candidates"] == 10
    assert not layout.artefact("validated_splits").exists()
    assert [path.name for path in splits.artefact.parent.iterdir() if path.is_dir()] == [splits.artefact.name]


def test_what_an_earlier_trial_made_is_not_made_again(root: Path) -> None:
    before = trial(root, FEWER)["validated_splits"]
    manifest = before.artefact / "manifest.json"
    written = manifest.stat().st_mtime_ns
    again = trial(root, FEWER)["validated_splits"]
    assert (again.origin, again.artefact, manifest.stat().st_mtime_ns) == ("earlier", before.artefact, written)


def test_a_damaged_artefact_of_a_trial_is_made_again(root: Path) -> None:
    folder = trial(root, FEWER)["validated_splits"].artefact
    (folder / "samples.parquet").write_bytes(b"half")
    assert trial(root, FEWER)["validated_splits"].origin == "run"
    verify(folder)


def test_a_trial_without_a_finished_recipe_makes_everything(root: Path) -> None:
    shutil.rmtree(root / "data")
    assert {stage.origin for stage in trial(root, FEWER).values()} == {"run"}
    assert not (root / "data").exists()


def test_a_trial_is_found_in_mlflow_by_what_it_changes(root: Path) -> None:
    trial(root, FEWER)
    client = MlflowClient(tracking_uri=store_uri(root))
    experiment = client.get_experiment_by_name(RECIPE)
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id], filter_string="tags.trial = 'true' and tags.stage LIKE '%'")
    [whole] = client.search_runs([experiment.experiment_id], filter_string="tags.action = 'trial'")
    assert run.data.tags["mlflow.parentRunId"] == whole.info.run_id
    assert whole.data.tags["override.validated_splits.candidates.num_candidates"] == "10"
    assert run.data.tags["override.validated_splits.candidates.num_candidates"] == "10"
    assert (run.data.tags["study"], run.info.status) == ("a test", "FINISHED")


def test_another_training_seed_leaves_the_data_alone(root: Path) -> None:
    layout = Layout(root, RECIPE)
    run_stage("validated_splits", recipe=load_recipe(layout.recipe_file), layout=layout)
    made = {stage.origin for stage in trial(root, {"training_seed": 8}).values()}
    assert made == {"recipe"}
    made = {stage.origin for stage in trial(root, {"seed": 8}).values()}
    assert made == {"run"}


def test_stages_through_are_what_is_upstream_in_order() -> None:
    assert stages_through("sft_checkpoint") == [
        "raw_data",
        "validated_splits",
        "sasrec_embeddings",
        "base_policy",
        "expert_episodes",
        "sft_checkpoint",
    ]
    assert stages_through("evaluation_reports") == list(STAGE_NAMES)


def test_late_values_hold_from_their_stage_on(root: Path) -> None:
    late = Late("validated_splits", {**FEWER, "raw_data.source.num_users": 150})
    made = {one.name: one for one in run_trial(root, RECIPE, {}, through="validated_splits", tags={}, late=late)}
    assert made["raw_data"].origin == "recipe"
    settings = verify(made["validated_splits"].artefact)["settings"]
    assert settings["validated_splits"]["candidates"]["num_candidates"] == 10


def test_what_only_a_skipped_stage_reads_is_not_made() -> None:
    assert stages_through("grpo_model", ["sft_checkpoint"]) == [
        "raw_data",
        "validated_splits",
        "sasrec_embeddings",
        "base_policy",
        "sft_checkpoint",
        "grpo_model",
    ]
    assert "expert_episodes" in stages_through("ppr_model", ["grpo_model"])


def test_a_skipped_stage_and_a_further_round_go_on_from_the_policy_before() -> None:
    base, sft, ppr = Path("base"), Path("sft"), Path("ppr")
    first: dict[StageName, Path] = {"base_policy": base, "sft_checkpoint": sft}
    assert _source("grpo_model", (), first) is None, "it is made"
    assert _source("grpo_model", ("grpo_model",), first) == sft
    assert _source("sft_checkpoint", ("sft_checkpoint",), first) == base
    assert _source("grpo_model", (), {**first, "ppr_model": ppr}) == ppr
    assert _source("grpo_model", ("grpo_model",), {**first, "ppr_model": ppr}) == ppr
    assert _source("ppr_model", (), {**first, "ppr_model": ppr}) is None, "it is made again"


def test_values_of_overrides_are_yaml() -> None:
    texts = ["grpo_model.steps=30", "agent.tools=[get_user_history]", "grpo_model.lora=null"]
    assert parse_overrides(texts) == {
        "grpo_model.steps": 30,
        "agent.tools": ["get_user_history"],
        "grpo_model.lora": None,
    }


@pytest.mark.parametrize("text", ["grpo_model.steps", "=3", "seed=[1"])
def test_a_text_that_is_no_override_is_named(text: str) -> None:
    with pytest.raises(InputError, match=text.replace("[", r"\[")):
        parse_overrides([text])


def test_a_key_that_is_set_twice_is_refused() -> None:
    with pytest.raises(InputError, match="seed twice"):
        parse_overrides(["seed=1", "seed=2"])


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("grpo_model.stepz", 3, "a key of the recipe, here steps"),
        ("grpo_model.steps.more", 3, "a key of the recipe"),
        ("nothing", 3, "a key of the recipe, here name"),
        ("name", "other", "a key of the recipe"),
        ("grpo_model.steps", -1, "grpo_model.steps"),
        ("seed", "soon", "seed"),
    ],
)
def test_a_wrong_key_or_value_is_named(root: Path, key: str, value: object, words: str) -> None:
    file = Layout(root, RECIPE).recipe_file
    with pytest.raises(InputError, match=words):
        overridden(load_recipe(file), {key: value}, where=file)


def test_the_manifest_of_a_trial_names_the_recipe_that_it_varies(root: Path) -> None:
    folder = trial(root, FEWER)["validated_splits"].artefact
    assert read_json(folder / "manifest.json")["recipe"] == RECIPE
