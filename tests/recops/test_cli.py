import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from recops import doctor
from recops.doctor import Problem, find_problems, pinned_versions
from recops.stage import STAGE_NAMES
from recops.summary import markdown_table, results_table
from tests.pipeline.project import CHECKOUT


def recops(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "recops.cli", *arguments]
    settings = {**os.environ, "COLUMNS": "200", **environment}
    return subprocess.run(command, cwd=CHECKOUT, env=settings, capture_output=True, text=True, check=False)


def test_help_names_every_command() -> None:
    shown = recops("--help").stdout
    for command in ("run", "stage", "try", "results", "recommend", "tool", "doctor", "dvc-yaml", "readme"):
        assert f" {command} " in shown


@pytest.mark.parametrize(
    "command",
    [
        ["run"],
        ["stage", "raw_data"],
        ["try", "-s", "seed=1"],
        ["recommend", "--user", "u"],
        ["tool", "get_user_profile", "--user", "u"],
    ],
)
def test_an_unknown_recipe_ends_with_its_message_and_no_traceback(command: list[str]) -> None:
    done = recops(*command, "--recipe", "nothing")
    assert done.returncode == 2
    assert "found no such file" in done.stderr
    assert "embedded" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stage_that_dvc_runs_has_the_environment_of_one_that_dagster_runs() -> None:
    code = (
        "import os, sys; from recops import stages; sys.argv[1:] = ['raw_data', '--recipe', 'nothing']; "
        "stages.main(); names = ('OMP_NUM_THREADS', 'GOMP_SPINCOUNT', 'MLFLOW_DISABLE_TELEMETRY'); "
        "print(*(os.environ[name] for name in names))"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MLFLOW_"))}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, env=bare, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["2", "2000", "true"]


TOLD_TO_SEND = {
    "DO_NOT_TRACK": "0",
    "HF_HUB_DISABLE_TELEMETRY": "0",
    "MLFLOW_DISABLE_TELEMETRY": "false",
}


@pytest.mark.parametrize(("switch", "sends"), [({}, False), ({"RECOPS_TELEMETRY": "on"}, True)])
def test_one_switch_turns_off_every_library_whatever_its_own_says(switch: dict[str, str], sends: bool) -> None:
    code = (
        "from recops import environment; environment.prepare(); import json, os; "
        "from huggingface_hub import constants; from mlflow.telemetry.utils import is_telemetry_disabled; "
        "print(json.dumps([not constants.HF_HUB_DISABLE_TELEMETRY, not is_telemetry_disabled(), "
        "'DVC_NO_ANALYTICS' not in os.environ]))"
    )
    # What says that a test runs, or CI, turns MLflow's off by itself; a test before may have prepared this process.
    names = ("CI", "PYTEST_CURRENT_TEST", "DVC_NO_ANALYTICS", *TOLD_TO_SEND)
    bare = {name: value for name, value in os.environ.items() if name not in names}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**bare, **TOLD_TO_SEND, **switch}, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [sends] * 3


def test_results_of_a_recipe_that_was_not_run_say_how_to_make_them(tmp_path: Path) -> None:
    done = recops("results", RECOPS_ROOT=str(tmp_path))
    assert done.returncode == 2
    assert "no manifest" in done.stderr


@pytest.mark.parametrize("text", ["{limit: 3}", "[3]"])
def test_arguments_of_a_tool_are_a_json_object(text: str) -> None:
    done = recops("tool", "get_user_history", "--user", "u", "--arguments", text)
    assert done.returncode == 2
    assert "a JSON object" in done.stderr


def test_an_unknown_stage_lists_the_stages() -> None:
    done = recops("stage", "nothing")
    assert done.returncode == 2
    assert all(name in done.stderr for name in STAGE_NAMES)


def test_the_command_of_dvc_ends_with_the_message_of_bad_input() -> None:
    command = [sys.executable, "-m", "recops.stages", "raw_data", "--recipe", "nothing"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.startswith("error: ")) == (2, True)


def systems() -> dict[str, Any]:
    def row(mean: float) -> dict[str, dict[str, float]]:
        names = ("hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr")
        return {name: {"mean": mean, "low": mean - 0.1, "high": mean + 0.1} for name in names}

    agent = {**row(0.5), "invalid_answers": 0.25, "calls_per_episode": 3.0}
    return {"recipe": "tiny", "seed": 7, "num_samples": 3, "systems": {"random": row(0.2), "grpo_model": agent}}


def test_the_table_shows_every_system_with_its_interval_the_best_first() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(results_table(systems()))
    shown = console.export_text()
    assert "0.500 [0.400, 0.600]" in shown
    assert "25.0%" in shown
    assert shown.index("grpo_model") < shown.index("random")


def test_the_table_for_a_page_begins_with_the_best_system() -> None:
    head, rule, best, worst = markdown_table(systems()).splitlines()

    assert head.count("|") == rule.count("|") == best.count("|") == worst.count("|")
    assert best == "| grpo_model | 0.500 | 0.500 | 0.500 | 0.500 | 0.500 [0.400, 0.600] | 0.500 | 25.0% | 3.0 |"
    assert worst.startswith("| random | 0.200")


def problems_named(problems: list[Problem], what: str) -> list[Problem]:
    return [problem for problem in problems if problem.what == what]


def test_the_installed_packages_are_those_of_the_lock() -> None:
    assert not problems_named(find_problems(CHECKOUT, "embedded"), "packages")


def test_a_package_that_differs_from_the_lock_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "requirements.lock").write_text("polars==0.0.1\nnot-there==1\n", encoding="utf-8")
    (tmp_path / "requirements-dvc.lock").write_text("dvc==0.0.1\n", encoding="utf-8")
    monkeypatch.setattr(doctor, "CODE_ROOT", tmp_path)
    problems = find_problems(CHECKOUT, "embedded")
    [packages] = problems_named(problems, "packages")
    assert "pinned 0.0.1" in packages.found
    assert "not-there missing" in packages.found
    assert "pinned 0.0.1" in problems_named(problems, "DVC")[0].found


def test_a_store_of_files_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:///tmp/runs")
    assert problems_named(find_problems(CHECKOUT, "embedded"), "MLflow store")


def test_missing_source_files_are_named_with_their_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOPS_DATA", str(tmp_path))
    [problem] = problems_named(find_problems(CHECKOUT, "electronics_small"), "source of electronics_small")
    assert str(tmp_path) in problem.found
    assert "RECOPS_DATA" in problem.fix


def test_the_wrong_antlr_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = doctor.importlib.metadata.version
    monkeypatch.setattr(
        doctor.importlib.metadata, "version", lambda name: "4.9.3" if name.startswith("antlr4") else real(name)
    )
    [problem] = problems_named(find_problems(CHECKOUT, "embedded"), "antlr4-python3-runtime")
    assert "4.9.3" in problem.found


def test_locks_pin_every_dependency_exactly_and_name_no_host() -> None:
    for name in ("requirements.lock", "requirements-dvc.lock"):
        text = (CHECKOUT / name).read_text(encoding="utf-8")
        assert all("==" in line for line in text.splitlines())
        assert "://" not in text
        assert "--" not in text
    assert pinned_versions(CHECKOUT / "requirements.lock")["torch"] == "2.13.0"
