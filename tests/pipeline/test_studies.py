"""A study of the small recipe, through the command line, on what one real run left."""

import json
from typing import Any

import pytest
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run

from recops.artifacts import read_json
from recops.studies.page import study_part
from recops.tracking import store_uri
from tests.pipeline.conftest import FinishedRun
from tests.pipeline.project import RECIPE, Project
from tests.recops.studies.variants import AS_IT_IS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STUDY = {
    "name": "small",
    "description": "Two variants of a small recipe.",
    "recipes": [RECIPE],
    "training_seeds": [7],
    "slice": "test",
    "further_candidates": ["popularity"],
    "baselines": ["random", "lambdamart"],
    "variants": {
        "recipe": {**AS_IT_IS, "measured": ["baselines", "base_policy", "grpo_model"]},
        "shorter": {**AS_IT_IS, "changes": {"grpo_model.steps": 1}, "measured": ["grpo_model"]},
        "other_reward": {
            **AS_IT_IS,
            "changes": {"agent.reward.call_cost": 0.1},
            "without_tools": ["rank_by_similarity"],
            "since": "grpo_model",
            "measured": ["grpo_model"],
        },
        "refined_twice": {**AS_IT_IS, "skips": ["grpo_model"], "rounds": 2, "measured": ["ppr_model"]},
    },
    "pairs": [["recipe/grpo_model", "shorter/grpo_model"], ["recipe/grpo_model", "recipe/lambdamart"]],
    "groups": [],
    "bootstrap_draws": 200,
    "confidence": 0.95,
}
CELLS = [f"recipe.{stage}.7.json" for stage in ("baselines", "base_policy", "grpo_model")] + [
    "shorter.grpo_model.7.json",
    "other_reward.grpo_model.7.json",
    "refined_twice.ppr_model.7.json",
]


def study(project: Project, *arguments: str, check: bool = True) -> Any:
    return project.run("python", "-m", "recops.cli", "study", *arguments, check=check)


@pytest.fixture(scope="module")
def studied(finished: FinishedRun) -> Project:
    project = finished.project
    (project.root / "studies" / "small.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    study(project, "run", "small")
    study(project, "table", "small")
    return project


def test_every_cell_is_measured_and_says_from_what(studied: Project) -> None:
    folder = studied.root / "docs" / "results" / "small" / RECIPE
    assert sorted(file.name for file in folder.iterdir()) == sorted([*CELLS, "samples.json"])
    own, shorter = (read_json(folder / name) for name in ("recipe.grpo_model.7.json", "shorter.grpo_model.7.json"))
    assert own["overrides"] == {"training_seed": 7}
    assert shorter["overrides"] == {"grpo_model.steps": 1, "training_seed": 7}
    assert own["fingerprint"] != shorter["fingerprint"]
    num_samples = len(read_json(folder / "samples.json")["sample_ids"].split())
    assert len(own["systems"]["grpo_model"]["ranks"].split()) == num_samples


def test_a_cell_agrees_with_the_report(studied: Project) -> None:
    report = studied.root / "reports" / RECIPE / "evaluation_reports"
    page = (studied.root / "docs" / "results.md").read_text(encoding="utf-8")
    own, further = study_part(page, "small").split("#### The same")
    agrees(own, read_json(report / "metrics.json")["systems"])
    agrees(further, read_json(report / "further_candidates.json")["popularity"]["systems"])


def agrees(tables: str, systems: dict[str, Any]) -> None:
    for name in ("grpo_model", "base_policy", "lambdamart"):
        mean = f"{systems[name]['ndcg@10']['mean']:.3f}".lstrip("0")
        [row] = [line for line in tables.splitlines() if line.startswith(f"| recipe/{name} |")]
        assert row.split("|")[2].split()[0] == mean


def test_what_a_cell_trained_is_in_mlflow_below_the_run_of_its_variant(studied: Project) -> None:
    client = MlflowClient(tracking_uri=store_uri(studied.root))
    experiment = client.get_experiment_by_name(RECIPE)
    assert experiment is not None

    def below(run_id: str) -> list[Run]:
        return list(client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{run_id}'"))

    [sweep] = client.search_runs([experiment.experiment_id], "tags.sweep = 'small/refined_twice'")
    assert sweep.data.metrics["systems.ppr_model.num_seeds"] == 1
    assert "systems.ppr_model.ndcg_at_10.low" in sweep.data.metrics
    [cell] = below(sweep.info.run_id)
    assert (cell.info.run_name, cell.data.params["training_seed"]) == ("refined_twice.ppr_model.7", "7")
    twice = ["ppr_model", "ppr_model", "preference_pairs", "preference_pairs"]
    assert sorted(run.data.tags["stage"] for run in below(cell.info.run_id)) == twice


def test_only_what_differs_from_the_recipe_was_made(studied: Project) -> None:
    made = {path.name: len(list(path.glob("*/manifest.json"))) for path in (studied.root / "runs" / RECIPE).iterdir()}
    assert made == {"grpo_model": 2, "preference_pairs": 2, "ppr_model": 2}


def test_each_round_mines_with_the_model_of_the_round_before(studied: Project) -> None:
    manifests = [read_json(path) for path in (studied.root / "runs" / RECIPE).glob("*/*/manifest.json")]
    sft = read_json(studied.root / "models" / RECIPE / "sft_checkpoint" / "manifest.json")
    ppr = {manifest["fingerprint"]: manifest for manifest in manifests if manifest["stage"] == "ppr_model"}
    read = {manifest["lineage"]["grpo_model"]["fingerprint"]: manifest for manifest in ppr.values()}
    [second] = [manifest for started, manifest in read.items() if started in ppr]
    assert set(read) == {sft["fingerprint"], next(name for name, one in ppr.items() if one is not second)}
    cell = read_json(studied.root / "docs" / "results" / "small" / RECIPE / "refined_twice.ppr_model.7.json")
    assert (cell["fingerprint"], cell["skips"], cell["rounds"]) == (second["fingerprint"], ["grpo_model"], 2)


def test_what_comes_before_a_late_change_is_the_recipes(studied: Project) -> None:
    manifests = [read_json(path) for path in (studied.root / "runs" / RECIPE).glob("grpo_model/*/manifest.json")]
    [changed] = [one for one in manifests if one["settings"]["agent"]["reward"]["call_cost"] == 0.1]
    assert "rank_by_similarity" not in changed["settings"]["agent"]["tools"]
    sft = read_json(studied.root / "models" / RECIPE / "sft_checkpoint" / "manifest.json")
    assert changed["lineage"]["sft_checkpoint"]["fingerprint"] == sft["fingerprint"]
    assert "rank_by_similarity" in sft["settings"]["agent"]["tools"]


def test_a_second_run_measures_nothing(studied: Project) -> None:
    assert study(studied, "run", "small").stdout.count("there already") == len(CELLS)


def test_a_limit_of_time_stops_before_the_next_cell(studied: Project) -> None:
    folder = studied.root / "docs" / "results" / "small" / RECIPE
    (folder / CELLS[0]).rename(folder / "aside")
    printed = study(studied, "run", "small", "--minutes", "0").stdout
    (folder / "aside").rename(folder / CELLS[0])
    assert printed.count("not begun") == 1


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("slice", "valid", "the samples of the cells before"),
        ("settings", {"grpo_model.group_size": 99}, "grpo_model.group_size 6 (before 99)"),
    ],
)
def test_cells_of_other_samples_or_settings_are_refused(studied: Project, key: str, value: Any, words: str) -> None:
    folder = studied.root / "docs" / "results" / "small" / RECIPE
    samples = folder / "samples.json"
    before, cell = samples.read_text(encoding="utf-8"), (folder / CELLS[0]).read_text(encoding="utf-8")
    content = read_json(samples)
    changed = {**content[key], **value} if isinstance(value, dict) else value
    samples.write_text(json.dumps({**content, key: changed}), encoding="utf-8")
    (folder / CELLS[0]).unlink()
    done = study(studied, "run", "small", check=False)
    samples.write_text(before, encoding="utf-8")
    (folder / CELLS[0]).write_text(cell, encoding="utf-8")
    assert (done.returncode, words in done.stderr) == (2, True)


def test_a_recipe_that_the_study_does_not_have_is_named(studied: Project) -> None:
    done = study(studied, "run", "small", "--recipe", "embedded", check=False)
    assert (done.returncode, "no cell of recipe embedded" in done.stderr) == (2, True)
