"""The recipes named after a paper have the paper's numbers, written here once more as the papers state them."""

from datetime import date

import pytest

from recops.config.agent import SUITES
from recops.config.policy import GrpoConfig, PretrainedPolicyConfig
from recops.config.recipe import Recipe, load_recipe
from tests.pipeline.project import CHECKOUT

RECIPES = CHECKOUT / "recipes"
PUBLISHED = {  # category: users and interactions of the window
    "agenticrec_cds": ("CDs_and_Vinyl", 5_437, 13_826),
    "agenticrec_instruments": ("Musical_Instruments", 7_593, 15_746),
    "agenticrec_office": ("Office_Products", 27_130, 47_333),
    "agenticrec_games": ("Video_Games", 6_251, 11_457),
}
AGENTICREC = (*PUBLISHED, "agenticrec_qwen3_4b")
NUM_SMALL_SAMPLES = 2_646
"""Samples of `policy_train` that electronics_small's cut leaves, which no paper states."""
NUM_GPUS, EPOCHS, BATCH = 4, 3, 64


def recipe_of(name: str) -> Recipe:
    return load_recipe(RECIPES / f"{name}.yaml")


def training_samples(name: str) -> int:
    """A sample for every interaction that has a history, and eight tenths of them to train with."""
    if name not in PUBLISHED:
        return NUM_SMALL_SAMPLES
    _, users, interactions = PUBLISHED[name]
    return round((interactions - users) * 0.8)


def policy_stages(recipe: Recipe) -> tuple[GrpoConfig, GrpoConfig]:
    return recipe.grpo_model, recipe.ppr_model


def test_every_recipe_named_after_a_paper_is_held_to_it() -> None:
    named = {path.stem for name in ("agenticrec_*", "recthinker_*") for path in RECIPES.glob(f"{name}.yaml")}
    assert named == {*AGENTICREC, "recthinker_ml1m"}


@pytest.mark.parametrize("name", AGENTICREC)
def test_agenticrec_plays_and_pays_as_published(name: str) -> None:
    agent = recipe_of(name).agent
    assert agent.loop == "react"
    assert agent.tools == SUITES["agenticrec"]
    assert (agent.max_calls, agent.num_ranked, agent.max_completion_tokens) == (10, 10, 6144)
    reward = agent.reward
    assert (reward.ndcg, reward.absent, reward.invalid, reward.tool_bonus) == (1.0, -0.5, -1.0, 0.1)
    assert reward.call_cost == 0
    assert not reward.own


@pytest.mark.parametrize("name", AGENTICREC)
def test_agenticrec_ranks_twenty_candidates_of_uniform_negatives(name: str) -> None:
    candidates = recipe_of(name).validated_splits.candidates
    assert (candidates.num_candidates, candidates.negatives) == (20, "uniform")


@pytest.mark.parametrize("name", PUBLISHED)
def test_agenticrec_reads_its_category_and_window_cut_8_1_1(name: str) -> None:
    recipe = recipe_of(name)
    assert recipe.raw_data.source.kind == "amazon_reviews_2023"
    assert recipe.raw_data.source.reviews == f"{PUBLISHED[name][0]}.jsonl.gz"
    splits = recipe.validated_splits
    assert splits.window is not None
    assert (splits.window.first_day, splits.window.last_day) == (date(2022, 10, 1), date(2023, 10, 31))
    # A user with one interaction has no sample; beyond that no filter is known, so that there is no k-core.
    assert (splits.min_interactions_per_user, splits.min_interactions_per_item) == (2, 1)
    assert splits.split.kind == "temporal"
    cut = splits.split
    assert (cut.tool_fit, cut.policy_train, cut.valid, cut.test, cut.fitted_on) == (0.0, 0.8, 0.1, 0.1, "training")


@pytest.mark.parametrize("name", AGENTICREC)
def test_agenticrec_trains_all_of_qwen3_4b_as_published(name: str) -> None:
    recipe = recipe_of(name)
    policy = recipe.base_policy
    assert isinstance(policy, PretrainedPolicyConfig)
    assert (policy.model, policy.dtype, policy.adapter) == ("Qwen/Qwen3-4B-Instruct-2507", "bfloat16", None)
    assert policy.revision is not None
    assert recipe.sft_checkpoint.lora is None
    for stage in policy_stages(recipe):
        assert (stage.group_size, stage.samples_per_step) == (8, BATCH)
        assert (stage.learning_rate, stage.temperature) == (1e-6, 0.6)
        assert (stage.advantage, stage.drop_negative_groups) == ("mean", True)
        assert stage.lora is None


@pytest.mark.parametrize("name", AGENTICREC)
def test_agenticrec_ranks_for_three_epochs_and_refines_for_one(name: str) -> None:
    recipe, samples = recipe_of(name), training_samples(name)
    assert recipe.grpo_model.steps == round(EPOCHS * samples / BATCH)
    assert recipe.preference_pairs.num_samples == samples
    assert recipe.ppr_model.steps == round(samples / BATCH)
    assert recipe.ppr_model.ranking_fraction == 0  # the paper's second stage has preference tasks alone


@pytest.mark.parametrize("name", AGENTICREC)
def test_what_a_step_of_agenticrec_holds_can_be_shared_among_the_published_gpus(name: str) -> None:
    recipe = recipe_of(name)
    assert recipe.sft_checkpoint.batch_size % NUM_GPUS == 0
    assert all(stage.samples_per_step % NUM_GPUS == 0 for stage in policy_stages(recipe))


@pytest.mark.parametrize("name", AGENTICREC)
def test_the_warm_up_that_agenticrec_has_not_is_of_the_models_own_episodes_and_short(name: str) -> None:
    recipe = recipe_of(name)
    experts = recipe.expert_episodes
    assert (experts.num_scripted, experts.endpoint, experts.file) == (0, None, None)
    assert recipe.sft_checkpoint.steps * recipe.sft_checkpoint.batch_size <= experts.num_self_played
    assert recipe.sft_checkpoint.learning_rate == 1e-6


def test_the_cut_of_agenticrec_on_data_at_hand_is_that_of_electronics_small_and_leaks_nothing() -> None:
    ours, small = recipe_of("agenticrec_qwen3_4b"), recipe_of("electronics_small")
    assert ours.raw_data == small.raw_data
    assert ours.validated_splits == small.validated_splits
    assert ours.validated_splits.split.fitted_on == "tool_fit"


def test_recthinker_thinks_plans_and_pays_for_calls_as_published() -> None:
    agent = recipe_of("recthinker_ml1m").agent
    assert agent.loop == "analyze_plan_act"
    assert set(SUITES["recthinker"]) <= set(agent.tools)
    reward = agent.reward
    assert (reward.ndcg, reward.absent, reward.invalid, reward.tool_bonus) == (1.0, -0.5, -1.0, 0.0)
    assert reward.call_cost > 0  # its weight is not published


def test_recthinker_leaves_one_out_of_movielens_among_ten_candidates_for_a_hundred_users() -> None:
    recipe = recipe_of("recthinker_ml1m")
    splits = recipe.validated_splits
    assert recipe.raw_data.source.kind == "movielens"
    assert (splits.split.kind, splits.split.fitted_on) == ("leave_one_out", "training")
    assert (splits.candidates.num_candidates, splits.candidates.negatives) == (10, "uniform")
    assert splits.window is None
    assert recipe.evaluation_reports.max_samples == 100


def test_recthinkers_warm_up_has_episodes_of_its_own_that_came_out_well() -> None:
    recipe = recipe_of("recthinker_ml1m")
    experts = recipe.expert_episodes
    assert experts.num_self_played > 0
    assert experts.keep_target_in_top <= recipe.agent.num_ranked // 2
