"""The job `ablations`, in its real child process, with no time to measure anything."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult

from jobs.definitions import defs
from jobs.follow import failure_words
from recops.studies.page import study_part
from recops.studies.plan import load_study
from tests.pipeline.project import CHECKOUT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def start(root: Path, **config: Any) -> ExecuteInProcessResult:
    shutil.copytree(CHECKOUT / "studies", root / "studies")
    with DagsterInstance.ephemeral() as instance:
        job = defs.resolve_job_def("ablations")
        return job.execute_in_process(run_config={"study": "method", **config}, instance=instance, raise_on_error=False)


def test_without_time_the_page_tells_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOPS_ROOT", str(tmp_path))
    result = start(tmp_path, recipe="embedded", minutes=0)
    assert result.success
    [event] = [event for event in result.all_events if event.event_type_value == "STEP_OUTPUT"]
    metadata = event.step_output_data.metadata
    num_cells = len(list(load_study(tmp_path / "studies" / "method.yaml").cells("embedded")))
    assert (metadata["measured_now"].value, metadata["left"].value) == (0, num_cells)
    page = (tmp_path / "docs" / "results.md").read_text(encoding="utf-8")
    assert metadata["page"].value == study_part(page, "method")
    assert "Not measured yet." in metadata["page"].value


def test_a_recipe_that_the_study_does_not_have_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOPS_ROOT", str(tmp_path))
    result = start(tmp_path, recipe="own_files")
    [failed] = [event for event in result.all_events if event.is_step_failure]
    assert "no cell of recipe own_files" in failure_words(failed)
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
