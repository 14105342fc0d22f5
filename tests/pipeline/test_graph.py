"""The stage table, Dagster's definitions and dvc.yaml describe one graph; nothing heavy is needed to load it."""

import subprocess
import sys
from typing import Any

import yaml
from dagster import AssetKey, build_schedule_context

from jobs.definitions import defs
from recops.dvc_file import dvc_file_text, recorded_recipes
from recops.readme import mermaid_block, tree_block
from recops.stage import STAGE_NAMES, STAGES
from tests.pipeline.project import CHECKOUT

HEAVY = {"torch", "trl", "peft", "transformers", "great_expectations", "mlflow", "polars", "pandas", "matplotlib"}
EDGES = {(read, stage.name) for stage in STAGES.values() for read in stage.reads}


def dvc_file() -> dict[str, Any]:
    return dict(yaml.safe_load((CHECKOUT / "dvc.yaml").read_text(encoding="utf-8")))


def test_dagster_has_the_stages_and_edges_of_the_table() -> None:
    graph = defs.resolve_asset_graph()
    keys = graph.materializable_asset_keys
    edges = {(parent.to_user_string(), key.to_user_string()) for key in keys for parent in graph.get(key).parent_keys}
    assert {key.to_user_string() for key in keys} == set(STAGE_NAMES)
    assert edges == EDGES


def test_dvc_has_the_stages_and_edges_of_the_table() -> None:
    stages = dvc_file()["stages"]
    written = {stage["outs"][0]: name for name, stage in stages.items()}
    edges = {(written[dep], name) for name, stage in stages.items() for dep in stage["deps"] if dep in written}
    assert tuple(stages) == STAGE_NAMES
    assert edges == EDGES


def test_dvc_runs_a_stage_again_for_its_own_and_its_shared_settings_only() -> None:
    for name, stage in dvc_file()["stages"].items():
        [(_, sections)] = stage["params"][0].items()
        assert sections == [*STAGES[name].shared, name]


def test_the_committed_dvc_file_is_what_the_table_gives() -> None:
    assert (CHECKOUT / "dvc.yaml").read_text(encoding="utf-8") == dvc_file_text(recorded_recipes(CHECKOUT))


def test_the_picture_in_the_readme_is_what_the_table_gives() -> None:
    assert mermaid_block() in (CHECKOUT / "README.md").read_text(encoding="utf-8")


def test_the_file_tree_in_the_readme_names_every_module() -> None:
    assert tree_block(CHECKOUT) in (CHECKOUT / "README.md").read_text(encoding="utf-8"), "run: recops readme"


def test_every_recipe_is_a_partition_of_every_asset() -> None:
    recipes = sorted(path.stem for path in (CHECKOUT / "recipes").glob("*.yaml"))
    graph = defs.resolve_asset_graph()
    for name in STAGE_NAMES:
        partitions = graph.get(AssetKey(name)).partitions_def
        assert partitions is not None
        assert partitions.get_partition_keys() == recipes


def test_every_asset_says_what_it_is_and_whose_it_is() -> None:
    graph = defs.resolve_asset_graph()
    for name in STAGE_NAMES:
        node = graph.get(AssetKey(name))
        assert node.description == STAGES[name].description
        assert node.owners
        assert node.kinds
        assert node.group_name != "default"
        assert node.code_version


def test_only_one_training_runs_at_a_time() -> None:
    settings = yaml.safe_load((CHECKOUT / ".dagster" / "dagster.yaml").read_text(encoding="utf-8"))
    graph = defs.resolve_asset_graph()
    light = {name for name in STAGE_NAMES if graph.get(AssetKey(name)).pools != {"training"}}
    assert light == {"raw_data", "validated_splits"}
    assert settings["concurrency"]["pools"]["default_limit"] == 1
    assert settings["run_monitoring"]["free_slots_after_run_end_seconds"] > 0


def test_the_checks_of_the_splits_stop_what_follows() -> None:
    graph = defs.resolve_asset_graph()
    checks = {key.name: graph.get(key) for key in graph.asset_check_keys}
    assert {name for name, check in checks.items() if check.blocking} == {
        "expectations",
        "one_target",
        "quarantine",
        "hard_expectations",
    }
    assert set(checks) == {
        "expectations",
        "one_target",
        "quarantine",
        "hard_expectations",
        "data_warnings",
        "drift",
        "few_invalid_answers",
        "injection",
    }


def test_jobs_cover_the_graph_and_the_evaluation() -> None:
    jobs = {name: defs.resolve_job_def(name) for name in ("full_pipeline", "evaluate")}
    selected = {
        name: {key.to_user_string() for key in job.asset_layer.selected_asset_keys} for name, job in jobs.items()
    }
    assert selected["full_pipeline"] == set(STAGE_NAMES)
    assert selected["evaluate"] == {"baselines", "evaluation_reports"}


def test_the_weekly_schedule_asks_for_every_recorded_recipe() -> None:
    schedule = defs.resolve_schedule_def("weekly_retraining")
    requests = schedule.evaluate_tick(build_schedule_context(repository_def=defs.get_repository_def())).run_requests
    assert [request.partition_key for request in requests or []] == recorded_recipes(CHECKOUT)


def test_loading_the_code_location_imports_nothing_heavy() -> None:
    command = "import sys, jobs.definitions; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run([sys.executable, "-c", command], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(result.stdout.split())
