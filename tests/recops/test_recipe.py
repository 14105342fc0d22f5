import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from recops.config.agent import SUITES, RewardConfig
from recops.config.recipe import Recipe, load_recipe, parse_recipe
from recops.config.section import Section
from recops.config.variables import expand_variables
from recops.errors import InputError
from recops.stage import STAGE_NAMES
from recops.tools.toolbox import TOOLS
from tests.pipeline.project import CHECKOUT

RECIPES = sorted((CHECKOUT / "recipes").glob("*.yaml"))


def embedded() -> dict[str, Any]:
    return dict(yaml.safe_load((CHECKOUT / "recipes" / "embedded.yaml").read_text(encoding="utf-8")))


def rejected(content: dict[str, Any]) -> str:
    with pytest.raises(InputError) as caught:
        parse_recipe(content, where=Path("embedded.yaml"))
    return str(caught.value)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_is_valid(path: Path) -> None:
    assert load_recipe(path).name == path.stem
    assert json.dumps(yaml.safe_load(path.read_text(encoding="utf-8")))  # as DVC does


def test_every_stage_has_its_section() -> None:
    assert set(STAGE_NAMES) <= set(Recipe.model_fields)


def test_no_setting_has_a_default() -> None:
    sections: list[type[Section]] = [Section]
    for section in sections:
        sections.extend(section.__subclasses__())
        optional = [name for name, field in section.model_fields.items() if not field.is_required()]
        assert not optional, f"{section.__name__}: {optional}"


def test_an_unknown_key_is_named_with_its_value() -> None:
    content = embedded()
    content["grpo_model"]["learning_rat"] = 0.5
    words = rejected(content)
    assert "grpo_model.learning_rat" in words
    assert "0.5" in words


def test_a_value_out_of_range_is_named_with_what_is_expected() -> None:
    content = embedded()
    content["grpo_model"]["group_size"] = 1
    words = rejected(content)
    assert "grpo_model.group_size" in words
    assert "found 1" in words
    assert "greater than or equal to 2" in words


def test_all_wrong_keys_are_named_at_once() -> None:
    content = embedded()
    content["seed"] = -1
    del content["sasrec_embeddings"]["width"]
    words = rejected(content)
    assert "seed" in words
    assert "sasrec_embeddings.width: Field required" in words


def test_candidates_that_nobody_freezes_are_refused_before_anything_runs() -> None:
    content = embedded()
    content["evaluation_reports"]["further_candidates"] = ["popularity", "uniform"]
    words = rejected(content)
    assert "further_candidates names uniform; expected kinds of validated_splits.candidates.further_negatives" in words
    assert "grpo_model" not in words


def test_a_prompt_that_knows_no_moment_shows_no_rating() -> None:
    content = embedded()
    content["llm_baselines"]["item_fields"] = ["title", "rating"]
    assert "llm_baselines.item_fields.1: Input should be 'title'" in rejected(content)


def test_nan_is_no_setting() -> None:
    content = embedded()
    content["agent"]["reward"]["ndcg"] = float("nan")
    assert "agent.reward.ndcg" in rejected(content)


def test_slices_that_do_not_sum_to_one_are_refused() -> None:
    content = embedded()
    content["validated_splits"]["split"]["test"] = 0.2
    assert "sum to 1.1" in rejected(content)


def test_a_day_that_yaml_itself_would_read_is_refused_for_dvc_cannot_hash_it() -> None:
    content = yaml.safe_load(yaml.safe_dump(embedded()).replace("'2030-01-01'", "2030-01-01"))
    message = rejected(content)
    assert "validated_splits.validation.latest_date" in message
    assert 'expected "2030-01-01"' in message


def test_a_name_that_is_not_the_files_is_refused() -> None:
    assert "name: 'other'" in rejected({**embedded(), "name": "other"})


def test_a_missing_recipe_lists_those_that_exist() -> None:
    with pytest.raises(InputError, match="embedded"):
        load_recipe(CHECKOUT / "recipes" / "nothing.yaml")


@pytest.mark.parametrize("text", ["a: [", "- a\n- b\n", ""])
def test_a_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "embedded.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"embedded\.yaml"):
        load_recipe(path)


def test_a_recipe_cannot_be_changed() -> None:
    recipe = load_recipe(CHECKOUT / "recipes" / "embedded.yaml")
    with pytest.raises(ValueError, match="frozen"):
        recipe.seed = 8


def test_variables_come_from_the_environment_or_their_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOPS_A", "here")
    monkeypatch.delenv("RECOPS_B", raising=False)
    assert expand_variables("${RECOPS_A}/${RECOPS_B:-there}", where="folder") == "here/there"
    with pytest.raises(InputError, match="export RECOPS_B="):
        expand_variables("${RECOPS_B}", where="folder")


def tools_of(tools: Any) -> tuple[str, ...]:
    content = embedded()
    content["agent"]["tools"] = tools
    return parse_recipe(content, where=Path("embedded.yaml")).agent.tools


def test_a_suite_stands_for_its_tools_and_a_list_for_itself() -> None:
    assert SUITES["all"] == tuple(TOOLS)
    assert all(set(names) <= set(TOOLS) for names in SUITES.values())
    assert tools_of("recthinker") == SUITES["recthinker"]
    assert tools_of(["get_item_info", "my_shop.tools.get_margin"]) == ("get_item_info", "my_shop.tools.get_margin")


def test_an_unknown_suite_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match=r"agent\.tools.*agenticrec, recthinker, all.*found 'everything'"):
        tools_of("everything")


def reward_of(reward: Any) -> RewardConfig:
    content = embedded()
    content["agent"]["reward"] = reward
    return parse_recipe(content, where=Path("embedded.yaml")).agent.reward


def test_a_reward_by_name_has_the_weights_of_its_paper() -> None:
    weights: dict[str, Any] = {"ndcg": 1.0, "absent": -0.5, "invalid": -1.0, "own": {}}
    assert reward_of("agenticrec") == RewardConfig(**weights, tool_bonus=0.1, call_cost=0.0)
    thinker = reward_of("recthinker")
    assert thinker == RewardConfig(**weights, tool_bonus=0.0, call_cost=thinker.call_cost)
    assert thinker.call_cost > 0
    assert reward_of({**weights, "tool_bonus": 0.3, "call_cost": 0.2}).tool_bonus == 0.3
    with pytest.raises(InputError, match=r"agent\.reward.*agenticrec, recthinker.*found 'generous'"):
        reward_of("generous")


@pytest.mark.parametrize(
    ("name", "first", "more"),
    [
        ("embedded", ("get_user_profile",), ("rank_by_taken_together",)),
        ("store", ("get_user_profile",), ("rank_by_taken_together",)),
        ("electronics_small", (), ()),
    ],
)
def test_the_recipes_of_the_results_keep_the_tools_that_their_policies_were_trained_with(
    name: str, first: tuple[str, ...], more: tuple[str, ...]
) -> None:
    assert load_recipe(CHECKOUT / "recipes" / f"{name}.yaml").agent.tools == (
        *first,
        "get_user_history",
        "get_item_info",
        "rank_by_next_item",
        "rank_by_similarity",
        "rank_by_popularity",
        *more,
        "get_similar_users",
        "analyze_candidates",
    )
