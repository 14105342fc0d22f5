"""Plans and tables of studies, from files written here."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from recops.artifacts import read_json, write_json
from recops.config.overrides import overridden
from recops.config.recipe import load_recipe
from recops.errors import InputError
from recops.metrics import ndcg_at_k
from recops.paths import project_root
from recops.studies.cells import settings_in_common
from recops.studies.page import study_part, write_page
from recops.studies.plan import Study, Variant, load_study
from recops.studies.rows import missing_cells, read_rows
from recops.studies.sitting import wanted_cells
from recops.studies.table import study_tables
from recops.trials import Late
from tests.recops.studies.variants import AS_IT_IS

PLAN: dict[str, Any] = {
    "name": "small",
    "description": "What it is about.",
    "recipes": ["one", "two"],
    "training_seeds": [7, 8],
    "slice": "test",
    "further_candidates": [],
    "baselines": ["sasrec"],
    "variants": {
        "recipe": {**AS_IT_IS, "measured": ["baselines", "grpo_model"]},
        "longer": {**AS_IT_IS, "changes": {"grpo_model.steps": 30}, "measured": ["grpo_model"]},
    },
    "pairs": [["longer/grpo_model", "recipe/grpo_model"], ["recipe/grpo_model", "recipe/sasrec"]],
    "groups": [],
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
    page = study_tables(plan(), folder)
    assert "| longer/grpo_model - recipe/grpo_model | .217 [.217, .217] | p = .020 | above |" in page
    assert "40 samples; training seeds 7, 8; 6 cells, 12 minutes; commits 0123456." in page
    assert page.count("Not measured yet.") == 1
    rows = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith(("| recipe/", "| longer/"))]
    assert rows[:3] == ["longer/grpo_model", "recipe/grpo_model", "recipe/sasrec"]


def test_each_kind_of_candidates_has_tables_of_its_own(folder: Path) -> None:
    own, further = study_tables(plan(further_candidates=["popularity"]), folder).split(
        "#### The same samples with popul"
    )
    assert "| recipe/sasrec | .000 [.000, .000] |" in own
    assert "| recipe/sasrec | .500 [.500, .500] |" in further
    assert "| longer/grpo_model - recipe/grpo_model | .000 [.000, .000] | p = 1.000 | no difference shown |" in further


def test_what_no_cell_depends_on_is_no_setting_in_common() -> None:
    recipe = load_recipe(project_root() / "recipes" / "embedded.yaml")
    shared = settings_in_common(recipe)

    def changed(**overrides: Any) -> dict[str, Any]:
        keys = {key.replace("__", "."): value for key, value in overrides.items()}
        return settings_in_common(overridden(recipe, keys, where=Path("embedded.yaml")))

    fewer = recipe.baselines.systems[:-1]
    assert changed(training_seed=8, baselines__systems=fewer, promotion__margin=0.5, description="Other") == shared
    assert changed(grpo_model__steps=99) == {**shared, "grpo_model.steps": 99}


def test_a_pair_of_other_commits_says_so(folder: Path) -> None:
    for seed in (7, 8):
        cell = folder / "one" / f"longer.grpo_model.{seed}.json"
        write_json(cell, {**read_json(cell), "commit": "another" if seed == 8 else "0123456789"})
    page = study_tables(plan(), folder)
    assert "| longer/grpo_model - recipe/grpo_model | .217 [.217, .217] | p = .020 | above; other commits |" in page
    assert "| recipe/grpo_model - recipe/sasrec |" in page
    assert page.count("; other commits |") == 1


def test_a_cell_without_the_further_candidates_is_named(folder: Path) -> None:
    with pytest.raises(InputError, match=r"recipe\.baselines\.7\.json: found KeyError\('uniform'\)"):
        study_tables(plan(further_candidates=["uniform"]), folder)


def test_a_pair_without_its_cells_is_left_out(folder: Path) -> None:
    for seed in (7, 8):
        (folder / "one" / f"longer.grpo_model.{seed}.json").unlink()
    page = study_tables(plan(), folder)
    assert "longer/grpo_model -" not in page
    assert "recipe/grpo_model - recipe/sasrec" in page
    assert missing_cells(plan(), "one", folder) == "2 of 6 cells are not measured yet: 1 of seed 7, 1 of seed 8."


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pairs": [["recipe/grpo_model", "recipe/nothing"]]}, "recipe/nothing is no system"),
        ({"training_seeds": [7, 7]}, "each once"),
        ({"variants": {"recipe": {**AS_IT_IS, "measured": ["raw_data"]}}}, "measured"),
        ({"slice": "policy_train"}, "slice"),
        ({"further_candidates": ["sasrec_hard"]}, "further_candidates"),
        (
            {"variants": {"recipe": {**AS_IT_IS, "since": "grpo_model", "measured": ["grpo_model"]}}},
            "nothing is changed",
        ),
        (
            {
                "variants": {
                    "recipe": {
                        **AS_IT_IS,
                        "changes": {"agent.tools": ["get_item_info"]},
                        "without_tools": ["rank_by_popularity"],
                        "measured": ["grpo_model"],
                    }
                }
            },
            "among the changes already",
        ),
        ({"variants": {"recipe": {**AS_IT_IS, "skips": ["grpo_model"], "measured": ["grpo_model"]}}}, "is skipped"),
        ({"variants": {"recipe": {**AS_IT_IS, "rounds": 2, "measured": ["grpo_model"]}}}, "rounds: more than one"),
        ({"variants": {"recipe": {**AS_IT_IS, "skips": ["base_policy"], "measured": ["grpo_model"]}}}, "skips"),
        ({"groups": [{"title": "T", "against": "recipe/sasrec", "rows": {"a": "recipe/grpo_model"}}]}, "is no row"),
        ({"pairs": [], "groups": [{"title": "T", "against": "x/y", "rows": {"a": "x/y"}}]}, "groups: x/y is no system"),
        ({"groups": [{"title": "T", "against": "recipe/sasrec", "rows": {"a": "recipe/sasrec"}}]}, "of their own"),
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


GROUPS = [
    {
        "title": "Longer or not",
        "against": "recipe/grpo_model",
        "rows": {"as it is": "recipe/grpo_model", "longer": "longer/grpo_model", "frozen": "recipe/sasrec"},
    },
    {
        "title": "Again",
        "against": "recipe/grpo_model",
        "rows": {"eight": "recipe/grpo_model", "30": "longer/grpo_model"},
    },
]


def test_groups_tell_each_row_and_its_difference(folder: Path) -> None:
    table = study_tables(plan(pairs=[], groups=GROUPS), folder).split("### small: one")[1].splitlines()
    [title] = [line for line in table if "Longer or not" in line]
    rows = table[table.index(title) + 1 :]
    assert [row.split("|")[1].strip() for row in rows[:4]] == ["as it is", "longer", "frozen", "**Again**"]
    assert (
        "| longer | 1.000 [1.000, 1.000] | 1.000 [1.000, 1.000] | 1.000 | 1.000 | .217 [.217, .217] | p = .020 |"
        in rows[1]
    )
    assert rows[1].endswith("| .250 | 3.000 | 2.0 |")
    assert rows[0].split("|")[6:8] == ["  ", "  "]
    # The pair that stands in two groups is one of two that are tested, not one of three.
    assert rows[5].split("|")[7] == rows[1].split("|")[7]


def test_groups_tell_hr_and_ndcg_at_5_as_the_papers_do(folder: Path) -> None:
    for seed in (7, 8):
        write_cell(folder, f"longer.grpo_model.{seed}.json", {"grpo_model": [4, 5] * (NUM_SAMPLES // 2)})
    table = study_tables(plan(pairs=[], groups=GROUPS), folder).splitlines()
    [head] = {line for line in table if "HR@5" in line}
    [row] = [dict(zip(head.split(" | "), line.split(" | "), strict=True)) for line in table if "| longer |" in line]
    # Half of the targets are fifth, the others sixth: 1 / log2(6) = .387 for the former.
    assert (row["HR@1"].strip()[:4], row["HR@5"], row["NDCG@5"]) == (".000", ".500", ".193")


def test_a_row_without_a_cell_says_so(folder: Path) -> None:
    for seed in (7, 8):
        (folder / "one" / f"longer.grpo_model.{seed}.json").unlink()
    assert "| longer | not measured yet |" in study_tables(plan(pairs=[], groups=GROUPS), folder)


def test_tools_are_left_out_where_a_recipe_has_them() -> None:
    recipe = load_recipe(project_root() / "recipes" / "embedded.yaml")
    gone = ("get_similar_users", "get_similar_items")
    left = Variant.model_validate(
        {**AS_IT_IS, "without_tools": gone, "since": "expert_episodes", "measured": ["grpo_model"]}
    ).late(recipe)
    assert left.since == "expert_episodes"
    assert left.overrides == {"agent.tools": [name for name in recipe.agent.tools if name != "get_similar_users"]}
    changed = {**AS_IT_IS, "changes": {"grpo_model.steps": 30}, "measured": ["grpo_model"]}
    assert Variant.model_validate({**changed, "since": "grpo_model"}).late(recipe) == Late(
        "grpo_model", {"grpo_model.steps": 30}
    )
    both = Variant.model_validate({**changed, "without_tools": gone}).late(recipe)
    assert both.overrides == {"grpo_model.steps": 30, **left.overrides}
    none = Variant.model_validate({**AS_IT_IS, "without_tools": ("search_catalog",), "measured": ["grpo_model"]})
    with pytest.raises(InputError, match=r"none of search_catalog in agent\.tools of embedded"):
        none.late(recipe)


def test_a_control_takes_more_steps_than_each_recipe_has() -> None:
    recipe = load_recipe(project_root() / "recipes" / "embedded.yaml")
    longer = {**AS_IT_IS, "added": {"sft_checkpoint.steps": 100}, "measured": ["sft_checkpoint"]}
    steps = Variant.model_validate(longer).late(recipe).overrides["sft_checkpoint.steps"]
    assert steps == recipe.sft_checkpoint.steps + 100
    with pytest.raises(ValidationError, match="is among the changes already"):
        Variant.model_validate({**longer, "changes": {"sft_checkpoint.steps": 300}})


@pytest.mark.parametrize(
    "key", ["sft_checkpoint.stepz", "sft_checkpoint", "stepz", "agent.tools", "grpo_model.drop_negative_groups"]
)
def test_what_is_added_to_is_a_number_of_the_recipe(key: str) -> None:
    recipe = load_recipe(project_root() / "recipes" / "embedded.yaml")
    longer = Variant.model_validate({**AS_IT_IS, "added": {key: 1}, "measured": ["sft_checkpoint"]})
    with pytest.raises(InputError, match=r"added.*found.*a number of the recipe"):
        longer.late(recipe)


def test_a_page_keeps_what_a_person_wrote(tmp_path: Path) -> None:
    page = tmp_path / "docs" / "results.md"
    first, _ = write_page(tmp_path, plan())
    page.write_text(page.read_text(encoding="utf-8").replace("# Results", "# Results\n\nWords."), encoding="utf-8")
    write_page(tmp_path, plan(name="other"))
    page.write_text(page.read_text(encoding="utf-8") + "\nMore words.\n", encoding="utf-8")
    before = page.read_text(encoding="utf-8")
    _, tables = write_page(tmp_path, plan(description="Something else."))
    text = page.read_text(encoding="utf-8")
    assert first == page
    assert text == before.replace(study_part(before, "small"), tables)
    assert (study_part(text, "small"), "Something else." in tables) == (tables, True)
    assert text.index("Words.") < text.index("study small") < text.index("study other") < text.index("More words.")


@pytest.mark.parametrize("text", ["half", '{"systems": {"sasrec": {"ranks": "0 x", "facts": {}}}}', '{"systems": []}'])
def test_a_damaged_cell_is_named(folder: Path, text: str) -> None:
    file = folder / "one" / "recipe.baselines.7.json"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=file.name):
        study_tables(plan(), folder)
