"""Training seeds of a study in a real MLflow store: one run above its cells, from files written here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from recops.artifacts import read_json, write_json
from recops.errors import InputError
from recops.evaluate.statistics import bootstrap_intervals
from recops.studies.cells import whole_of_cell
from recops.studies.rows import read_rows
from recops.studies.sitting import measure, wanted_cells
from recops.tracked_run import tracked_run
from recops.tracking import store_uri
from tests.recops.studies.test_studies import NUM_SAMPLES, plan, write_cell

STUDY = plan(recipes=["one"], further_candidates=["popularity"])
SYSTEM = "systems.grpo_model"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with all cells of `STUDY`: GRPO's ranks differ by user and by seed."""
    folder = tmp_path / "docs" / "results" / "small"
    for seed in (7, 8):
        write_cell(folder, f"recipe.baselines.{seed}.json", {"sasrec": [4] * NUM_SAMPLES})
        write_cell(
            folder,
            f"recipe.grpo_model.{seed}.json",
            {"grpo_model": [number**2 % seed for number in range(NUM_SAMPLES)]},
        )
        write_cell(folder, f"longer.grpo_model.{seed}.json", {"grpo_model": [0] * NUM_SAMPLES})
    write_json(folder / "one" / "samples.json", {"users": " ".join(str(number // 2) for number in range(NUM_SAMPLES))})
    return tmp_path


def sit(root: Path) -> None:
    assert {outcome for _, outcome in measure(root, STUDY, wanted_cells(STUDY), minutes=None)} == {"there already"}


def runs(root: Path, condition: str) -> list[Run]:
    client = MlflowClient(tracking_uri=store_uri(root))
    experiment = client.get_experiment_by_name("one")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], condition))


def sweep_of(root: Path, variant: str) -> Run:
    [run] = runs(root, f"tags.sweep = 'small/{variant}'")
    return run


def cells_of(root: Path, sweep: Run) -> dict[str, Run]:
    return {run.info.run_name: run for run in runs(root, f"tags.`mlflow.parentRunId` = '{sweep.info.run_id}'")}


def test_a_variant_has_one_run_with_mean_spread_and_interval_of_its_seeds(root: Path) -> None:
    sit(root)
    sweep = sweep_of(root, "recipe")
    assert (sweep.info.run_name, sweep.info.status) == ("small/recipe", "FINISHED")
    [row] = [one for one in read_rows(STUDY, "one", root / "docs/results/small") if one.name == "recipe/grpo_model"]
    users = np.arange(NUM_SAMPLES) // 2
    [of_table] = bootstrap_intervals(row.values.mean(axis=0)[:, None], users, draws=200, confidence=0.95, seed=0)
    assert of_table.low < of_table.mean < of_table.high
    told = {name.removeprefix(f"{SYSTEM}.ndcg_at_10"): value for name, value in sweep.data.metrics.items()}
    assert (told[""], told[".low"], told[".high"]) == pytest.approx((of_table.mean, of_table.low, of_table.high))
    assert told[".seed_std"] == pytest.approx(abs(np.diff(row.of_seeds)[0]) / np.sqrt(2))
    assert told[".seed_std"] > 0
    metrics = sweep.data.metrics
    assert (metrics[f"{SYSTEM}.num_seeds"], metrics[f"{SYSTEM}.hr_at_1"]) == (2, pytest.approx(row.hr_at_1))
    assert metrics[f"{SYSTEM}.invalid_answers"] == 0.25
    assert metrics["further_candidates.popularity.sasrec.ndcg_at_10"] == pytest.approx(0.5)
    assert metrics["systems.sasrec.ndcg_at_10.seed_std"] == 0


def test_every_cell_is_below_the_run_of_its_variant_and_has_its_seed(root: Path) -> None:
    file = root / "docs/results/small/one/longer.grpo_model.7.json"
    write_json(file, {**read_json(file), "overrides": {"grpo_model.steps": 30}})
    sit(root)
    cells = cells_of(root, sweep_of(root, "recipe"))
    assert set(cells) == {f"recipe.{stage}.{seed}" for stage in ("baselines", "grpo_model") for seed in (7, 8)}
    assert set(cells_of(root, sweep_of(root, "longer"))) == {"longer.grpo_model.7", "longer.grpo_model.8"}
    [longer] = runs(root, "tags.`override.grpo_model.steps` = '30'")
    assert longer.info.run_name == "longer.grpo_model.7"
    seven, eight = (cells[f"recipe.grpo_model.{seed}"].data for seed in (7, 8))
    assert (seven.params["training_seed"], eight.params["training_seed"]) == ("7", "8")
    mean = (seven.metrics[f"{SYSTEM}.ndcg_at_10"] + eight.metrics[f"{SYSTEM}.ndcg_at_10"]) / 2
    assert sweep_of(root, "recipe").data.metrics[f"{SYSTEM}.ndcg_at_10"] == pytest.approx(mean)


def test_what_is_there_is_not_written_again(root: Path) -> None:
    sit(root)
    before = sweep_of(root, "recipe")
    sit(root)
    client = MlflowClient(tracking_uri=store_uri(root))
    assert len(client.get_metric_history(before.info.run_id, f"{SYSTEM}.ndcg_at_10")) == 1
    assert len(runs(root, "")) == 2 + 6


def test_a_cell_measured_anew_takes_the_place_of_the_old_one(root: Path) -> None:
    sit(root)
    old = cells_of(root, sweep_of(root, "longer"))["longer.grpo_model.8"]
    file = root / "docs/results/small/one/longer.grpo_model.8.json"
    content: dict[str, Any] = read_json(file)
    content["systems"]["grpo_model"]["ranks"] = " ".join(["-"] * NUM_SAMPLES)
    write_json(file, {**content, "commit": "another"})
    sit(root)
    sweep = sweep_of(root, "longer")
    new = cells_of(root, sweep)
    assert len(new) == 2
    assert new["longer.grpo_model.8"].info.run_id != old.info.run_id
    assert sweep.data.metrics[f"{SYSTEM}.ndcg_at_10"] == pytest.approx(0.5)
    assert sweep.data.tags["commits"] == "0123456, another"


@pytest.mark.parametrize("name", ["recipe.grpo_model.7", "longer.grpo_model.8"])
def test_a_damaged_cell_is_named_with_what_to_do(root: Path, name: str) -> None:
    file = root / f"docs/results/small/one/{name}.json"
    file.write_text(file.read_text()[:60])
    with pytest.raises(InputError, match=rf"{name}.json: found .*; expected the file of a cell. Remove the file"):
        sit(root)


def test_the_stages_that_a_cell_trained_are_below_its_run(root: Path) -> None:
    [cell] = wanted_cells(STUDY, seed=7, variant="longer")
    whole = whole_of_cell(STUDY, cell, "0123456789")
    tags = {"stage": "grpo_model", "recipe": "one", "trial": "true"}
    settings: Any = {"experiment": "one", "parameters": {}, "resume": None, "pipeline": whole}
    with tracked_run(root, name="grpo_model", tags=tags, **settings) as tracker:
        pass
    sit(root)
    [stage] = runs(root, "tags.stage = 'grpo_model'")
    assert stage.info.run_id == tracker.run_id
    cells = cells_of(root, sweep_of(root, "longer"))
    assert cells["longer.grpo_model.7"].info.run_id == stage.data.tags["mlflow.parentRunId"]
