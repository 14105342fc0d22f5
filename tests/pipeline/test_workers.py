"""Trainings by two workers under `accelerate launch`, on a processor: what a machine with two GPUs does."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from recops.artifacts import read_json, verify
from recops.paths import Layout
from recops.ranks import ACCELERATE
from recops.tracking import store_uri
from tests.pipeline.conftest import FinishedRun
from tests.pipeline.project import RECIPE, Project

# The first test of a file may pay for a whole run of the pipeline, on a machine that does other things too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

DDP = "recipes/accelerate/ddp.yaml"


@pytest.fixture(scope="module")
def copy(finished: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The finished project once more, to train in: artefacts, but no run in MLflow."""
    root = tmp_path_factory.mktemp("workers") / "checkout"
    shutil.copytree(finished.project.root, root, ignore=shutil.ignore_patterns(".dagster", "mlflow.db", "mlartifacts"))
    return Project(root)


def train(project: Project, stage: str, configuration: str = DDP) -> tuple[int, str]:
    command = ["env", f"{ACCELERATE}={configuration}", "python", "-m", "recops.stages", stage, "--recipe", RECIPE]
    done = project.run(*command, check=False)
    return done.returncode, done.stdout + done.stderr


def test_two_workers_leave_what_one_process_leaves(finished: FinishedRun, copy: Project) -> None:
    code, words = train(copy, "sft_checkpoint")
    assert code == 0, words

    both = [Layout(one.root, RECIPE).artefact("sft_checkpoint") for one in (finished.project, copy)]
    alone, together = (read_json(artefact / "manifest.json") for artefact in both)
    assert alone["fingerprint"] == together["fingerprint"]
    assert sorted(alone["files"]) == sorted(together["files"])
    assert alone["opened"] == together["opened"]
    report = together["report"]
    assert report["held_out_loss_after"] < report["held_out_loss_before"] - 0.5
    assert report["supervised_tokens"] == alone["report"]["supervised_tokens"]


@pytest.mark.parametrize("loop", ["trl", "recops"])
def test_groups_are_shared_and_the_first_worker_writes_the_artefact(copy: Project, loop: str) -> None:
    recipe = copy.recipe()
    recipe["grpo_model"]["tool_loop"] = loop
    copy.write_recipe(recipe)
    code, words = train(copy, "grpo_model")
    assert code == 0, words

    layout = Layout(copy.root, RECIPE)
    verify(layout.artefact("grpo_model"))
    report = read_json(layout.artefact("grpo_model") / "report.json")
    assert report["episodes"] == 2 * 6 * 6
    assert not layout.checkpoints("grpo_model").exists()
    client = MlflowClient(tracking_uri=store_uri(copy.root))
    [experiment] = [one for one in client.search_experiments() if one.name == RECIPE]
    wanted = "tags.stage = 'grpo_model'"
    runs = client.search_runs([experiment.experiment_id], filter_string=wanted)
    assert runs[0].info.status == "FINISHED"
    assert [one.step for one in client.get_metric_history(runs[0].info.run_id, "ndcg")] == [1, 2]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (None, "no such file"),
        ("distributed_type: FSDP\n", "'distributed_type': 'FSDP'"),
        ("distributed_type: MULTI_GPU\nnum_machines: 2\n", "'num_machines': 2"),
        ("[", "while parsing"),
    ],
)
def test_a_configuration_that_cannot_serve_is_refused(copy: Project, content: str | None, found: str) -> None:
    if content is not None:
        Path(copy.root / "mine.yaml").write_text(content, encoding="utf-8")
    else:
        Path(copy.root / "mine.yaml").unlink(missing_ok=True)
    code, words = train(copy, "sft_checkpoint", "mine.yaml")
    assert code == 2
    assert found in words


def test_a_batch_that_cannot_be_shared_is_refused_before_anything_is_trained(copy: Project) -> None:
    recipe = copy.recipe()
    recipe["sft_checkpoint"]["batch_size"] = 15
    copy.write_recipe(recipe)
    before = verify(Layout(copy.root, RECIPE).artefact("sft_checkpoint"))
    code, words = train(copy, "sft_checkpoint")
    assert code == 2, words
    assert "sft_checkpoint.batch_size: found 15; expected a multiple of the 2 workers" in words
    assert verify(Layout(copy.root, RECIPE).artefact("sft_checkpoint")) == before
