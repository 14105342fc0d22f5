"""Changed data warns in a real run of Dagster, and stops nothing."""

import pytest
from dagster import AssetCheckKey, AssetKey, DagsterInstance
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

from tests.pipeline.project import RECIPE, Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

DRIFT = AssetCheckKey(AssetKey("validated_splits"), "drift")


def materialize(project: Project) -> None:
    """Materialize the data alone, checks included, as the UI does."""
    home = f"DAGSTER_HOME={project.root / '.dagster'}"
    chosen = ("--select", "raw_data,validated_splits", "--partition", RECIPE)
    project.run("env", home, "dagster", "asset", "materialize", *chosen, "-m", "jobs.definitions")


def judgements(project: Project, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Status, str, str]]:
    """Every execution of the check, the oldest first: its status, its severity and what it says."""
    monkeypatch.setenv("DAGSTER_HOME", str(project.root / ".dagster"))
    with DagsterInstance.get() as instance:
        found = instance.event_log_storage.get_asset_check_execution_history(DRIFT, limit=10)
    results = []
    for record in reversed(found):
        assert record.event is not None
        evaluation = record.event.asset_check_evaluation
        results.append((record.status, evaluation.severity.value, evaluation.description or ""))
    return results


def test_a_second_version_with_other_data_warns_and_the_run_succeeds(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    materialize(project)
    recipe = project.recipe()
    source = recipe["raw_data"]["source"]
    source["num_users"] = 2 * source["num_users"]
    project.write_recipe(recipe)
    materialize(project)  # the command fails where a step fails
    first, second = judgements(project, monkeypatch)
    assert first[:2] == (Status.SUCCEEDED, "WARN")
    assert "nothing to compare with" in first[2]
    assert second[:2] == (Status.FAILED, "WARN")
    assert "row_change +" in second[2]
