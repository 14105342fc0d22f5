"""The stage table, Dagster's definitions and dvc.yaml describe one graph; nothing heavy is needed to load it."""

import subprocess
import sys
import tomllib
from typing import Any, get_args

import pytest
import yaml
from dagster import AssetKey
from dagster._core.definitions.freshness import TimeWindowFreshnessPolicy

from assets.pools import DVC_POOL, TRAINING_POOL
from jobs.ablations import StudyName
from jobs.asset_jobs import ASSET_JOBS
from jobs.definitions import defs
from jobs.launch import selected_keys
from jobs.trial import RecipeName, ThroughStage
from recops.cli import JobName
from recops.dvc_file import dvc_file_text, recorded_recipes
from recops.errors import InputError
from recops.readme import mermaid_block, tree_block
from recops.stage import STAGE_NAMES, STAGES
from recops.versioning import CODE_ROOT, code_sha256
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


def test_the_champion_is_an_asset_that_no_run_makes() -> None:
    champion = defs.resolve_asset_graph().get(AssetKey("champion"))
    assert not champion.is_executable
    assert {key.to_user_string() for key in champion.parent_keys} == {"ppr_model", "evaluation_reports"}


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
        assert node.code_version == code_sha256(CODE_ROOT, name)[:16]


def test_one_step_of_a_pool_runs_at_a_time_and_every_step_has_a_pool() -> None:
    settings = yaml.safe_load((CHECKOUT / ".dagster" / "dagster.yaml").read_text(encoding="utf-8"))
    assert settings["concurrency"]["pools"]["default_limit"] == 1
    assert settings["run_monitoring"]["free_slots_after_run_end_seconds"] > 0
    pools = {op.name: op.pools for job in defs.resolve_all_job_defs() for op in job.all_node_defs}
    computing = {name for name, held in pools.items() if held == {TRAINING_POOL}}
    recording = {name for name, held in pools.items() if held == {DVC_POOL}}
    jobs = {"run_trial", "measure_study", "play_champion", "decide_promotion"}
    assert recording == {"raw_data", "validated_splits"}
    assert computing == set(STAGE_NAMES) - recording | jobs
    by_themselves = {
        "check_splits",
        "validated_splits_data_warnings",
        "validated_splits_drift",
        "sasrec_embeddings_hard_expectations",
        "evaluation_reports_few_invalid_answers",
        "evaluation_reports_injection",
    }
    assert pools.keys() - computing - recording == by_themselves, "only checks, which read a report, wait for nothing"


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


def test_jobs_cover_the_graph_and_its_parts() -> None:
    selected = {
        name: {key.to_user_string() for key in defs.resolve_job_def(name).asset_layer.selected_asset_keys}
        for name in ASSET_JOBS
    }
    assert selected["full_pipeline"] == set(STAGE_NAMES)
    assert selected["refresh_data"] == {"raw_data", "validated_splits"}
    assert selected["evaluate"] == {"baselines", "evaluation_reports"}
    assert selected["train_agent"] == set(STAGE_NAMES) - selected["refresh_data"] - selected["evaluate"]


def test_the_command_line_knows_the_jobs_over_assets() -> None:
    assert set(get_args(JobName)) == set(ASSET_JOBS)


def test_from_is_cut_to_the_job_and_must_be_in_it() -> None:
    assert [key.to_user_string() for key in selected_keys("train_agent", "ppr_model") or []] == ["ppr_model"]
    with pytest.raises(InputError, match="after which refresh_data has nothing"):
        selected_keys("refresh_data", "ppr_model")


def test_the_launchpad_offers_every_recipe_stage_and_study() -> None:
    offered = {name: [one.name for one in kind] for name, kind in (("recipe", RecipeName), ("stage", ThroughStage))}
    assert offered["recipe"] == sorted(path.stem for path in (CHECKOUT / "recipes").glob("*.yaml"))
    assert offered["stage"] == list(STAGE_NAMES)
    assert [one.name for one in StudyName] == sorted(path.stem for path in (CHECKOUT / "studies").glob("*.yaml"))


def test_data_the_final_model_and_the_champion_have_a_time_after_which_they_are_stale() -> None:
    graph = defs.resolve_asset_graph()
    policies = {name: graph.get(AssetKey(name)).freshness_policy for name in (*STAGE_NAMES, "champion")}
    days = {
        name: (policy.warn_window.to_timedelta().days, policy.fail_window.to_timedelta().days)
        for name, policy in policies.items()
        if isinstance(policy, TimeWindowFreshnessPolicy) and policy.warn_window
    }
    assert days == {"raw_data": (8, 15), "validated_splits": (8, 15), "ppr_model": (29, 57), "champion": (29, 57)}


def test_what_listens_by_itself_is_only_what_starts_nothing_unasked() -> None:
    states = {one.name: one.default_status.value for one in defs.sensors or ()}
    assert {name for name, state in states.items() if state == "RUNNING"} == {
        "retrain",
        "failed_runs",
        "champion_moved",
    }
    others = {"new_raw_data", "play_fresh_data", "champion_drop"}
    assert states.keys() == {"retrain", "failed_runs", "champion_moved"} | others
    assert defs.resolve_schedule_def("weekly_retraining").default_status.value == "STOPPED"


def test_dg_and_the_workspace_file_name_the_same_code_location() -> None:
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["dg"]["project"]
    [location] = yaml.safe_load((CHECKOUT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    assert settings["code_location_target_module"] == location["python_module"]


def test_loading_the_code_location_imports_nothing_heavy() -> None:
    command = "import sys, jobs.definitions; print(*{name.partition('.')[0] for name in sys.modules})"
    result = subprocess.run([sys.executable, "-c", command], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    assert HEAVY.isdisjoint(result.stdout.split())
