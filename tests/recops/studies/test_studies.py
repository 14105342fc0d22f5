"""Plans and tables of studies, from files written here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from recops.artifacts import write_json
from recops.errors import InputError
from recops.metrics import ndcg_at_k
from recops.paths import project_root
from recops.studies.plan import Study, load_study
from recops.studies.sitting import wanted_cells
from recops.studies.table import missing_cells, read_rows, study_page

PLAN: dict[str, Any] = {
    "name": "small",
    "description": "What it is about.",
    "recipes": ["one", "two"],
    "training_seeds": [7, 8],
    "slice": "test",
    "further_candidates": [],
    "baselines": ["sasrec"],
    "variants": {
        "recipe": {"changes": {}, "measured": ["baselines", "grpo_model"]},
        "longer": {"changes": {"grpo_model.steps": 30}, "measured": ["grpo_model"]},
    },
    "pairs": [["longer/grpo_model", "recipe/grpo_model"], ["recipe/grpo_model", "recipe/sasrec"]],
    "bootstrap_draws": 200,
    "confidence": 0.95,
}
NUM_SAMPLES = 40


def plan(**changes: Any) -> Study:
    return Study.model_validate({**PLAN, **changes})


def measured(ranks: dict[str, list[int | str]]) -> dict[str, Any]:
    facts = {"invalid_answers": 0.25, "calls_per_episode": 3.0}
    return {
        system: {"ranks": " ".join(map(str, values)), "facts": {} if system == "sasrec" else facts}
        for system, values in ranks.items()
    }


def write_cell(folder: Path, name: str, ranks: dict[str, list[int | str]]) -> None:
    """Write a cell; among popular negatives, every system ranks the target third."""
    further = {"popularity": measured({system: [2] * NUM_SAMPLES for system in ranks})}
    content = {"commit": "0123456789", "fingerprint": "f", "overrides": {}, "minutes": 2.0}
    path = folder / "one" / name
    path.parent.mkdir(exist_ok=True, parents=True)
    write_json(path, {**content, "systems": measured(ranks), "further_candidates": further})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Cells of recipe `one`: GRPO first in every second list, longer GRPO always, SASRec never listed."""
    users = " ".join(str(number // 2) for number in range(NUM_SAMPLES))
    for seed in (7, 8):
        write_cell(tmp_path, f"recipe.baselines.{seed}.json", {"sasrec": ["-"] * NUM_SAMPLES})
        write_cell(tmp_path, f"recipe.grpo_model.{seed}.json", {"grpo_model": [0, seed - 6] * (NUM_SAMPLES // 2)})
        write_cell(tmp_path, f"longer.grpo_model.{seed}.json", {"grpo_model": [0] * NUM_SAMPLES})
    write_json(tmp_path / "one" / "samples.json", {"users": users})
    return tmp_path


def test_the_studies_of_the_repository_are_whole() -> None:
    files = sorted((project_root() / "studies").glob("*.yaml"))
    assert files
    for file in files:
        load_study(file)


def test_systems_are_variants_and_what_they_measure() -> None:
    assert list(plan().systems()) == ["recipe/sasrec", "recipe/grpo_model", "longer/grpo_model"]


def test_cells_go_seed_by_seed() -> None:
    files = [cell.file.as_posix() for cell in plan().cells("one")]
    assert files[:3] == ["one/recipe.baselines.7.json", "one/recipe.grpo_model.7.json", "one/longer.grpo_model.7.json"]
    assert len(files) == len(set(files)) == 6
    assert len(list(plan().cells())) == 12


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({}, 12),
        ({"recipe": "one"}, 6),
        ({"seed": 8}, 6),
        ({"variant": "longer"}, 4),
        ({"recipe": "two", "seed": 7, "variant": "longer"}, 1),
    ],
)
def test_a_sitting_can_be_narrowed(wanted: dict[str, Any], count: int) -> None:
    assert len(wanted_cells(plan(), **wanted)) == count


def test_what_no_cell_has_is_said() -> None:
    with pytest.raises(InputError, match="variant shorter; expected of one, two and 7, 8 and recipe, longer"):
        wanted_cells(plan(), variant="shorter")


def test_values_are_averaged_per_sample_over_seeds(folder: Path) -> None:
    [sasrec, grpo, longer] = read_rows(plan(), "one", folder)
    second = ndcg_at_k([1, 2], 10)
    assert np.allclose(grpo.of_seeds, (1 + second) / 2)
    assert np.allclose(grpo.values.mean(axis=0)[:2], [1, second.mean()])
    assert (longer.of_seeds == 1).all()
    assert (sasrec.of_seeds == 0).all()
    assert (grpo.hr_at_1, longer.hr_at_1) == (0.5, 1.0)
    assert grpo.facts == {"invalid_answers": 0.25, "calls_per_episode": 3.0}
    assert sasrec.facts == {}


def test_the_page_tells_differences_and_what_is_missing(folder: Path) -> None:
    page = study_page(plan(), folder)
    assert "| longer/grpo_model - recipe/grpo_model | .217 [.217, .217] | p = .020 | above |" in page
    assert "40 samples; 6 cells, 12 minutes; commits 0123456." in page
    assert page.count("Not measured yet.") == 1
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith(("| recipe/", "| longer/"))]
    assert rows[:3] == ["longer/grpo_model", "recipe/grpo_model", "recipe/sasrec"]


def test_each_kind_of_candidates_has_tables_of_its_own(folder: Path) -> None:
    own, further = study_page(plan(further_candidates=["popularity"]), folder).split("### The same samples with popul")
    assert "| recipe/sasrec | .000 [.000, .000] |" in own
    assert "| recipe/sasrec | .500 [.500, .500] |" in further
    assert "| longer/grpo_model - recipe/grpo_model | .000 [.000, .000] | p = 1.000 | no difference shown |" in further


def test_a_cell_without_the_further_candidates_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"recipe\.baselines\.7\.json: found KeyError\('uniform'\)"):
        study_page(plan(further_candidates=["uniform"]), folder)


def test_a_pair_without_its_cells_is_left_out(folder: Path) -> None:
    for seed in (7, 8):
        (folder / "one" / f"longer.grpo_model.{seed}.json").unlink()
    page = study_page(plan(), folder)
    assert "longer/grpo_model -" not in page
    assert "recipe/grpo_model - recipe/sasrec" in page
    assert missing_cells(plan(), "one", folder) == ["longer.grpo_model.7.json", "longer.grpo_model.8.json"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pairs": [["recipe/grpo_model", "recipe/nothing"]]}, "recipe/nothing is no system"),
        ({"training_seeds": [7, 7]}, "each once"),
        ({"variants": {"recipe": {"changes": {}, "measured": ["raw_data"]}}}, "measured"),
        ({"slice": "policy_train"}, "slice"),
        ({"further_candidates": ["sasrec_hard"]}, "further_candidates"),
        ({"more": 1}, "more"),
        ({"name": "other"}, "other"),
    ],
)
def test_a_wrong_plan_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump({**PLAN, **changes}), encoding="utf-8")
    with pytest.raises(InputError, match=words):
        load_study(file)


def test_a_plan_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="There are small"):
        load_study(tmp_path / "large.yaml")


@pytest.mark.parametrize("text", ["half", '{"systems": {"sasrec": {"ranks": "0 x", "facts": {}}}}', '{"systems": []}'])
def test_a_damaged_cell_is_named(folder: Path, text: str) -> None:
    file = folder / "one" / "recipe.baselines.7.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=file.name):
        study_page(plan(), folder)
