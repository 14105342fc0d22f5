import dataclasses
from typing import Literal

import pytest

from recops.config.recipe import Recipe
from recops.config.validated_splits import CandidatesConfig, ValidatedSplitsConfig
from recops.errors import InputError
from recops.evaluate import recommend as module
from recops.evaluate.moments import NO_TARGET, newest_moment
from recops.evaluate.recommend import DRAWN, FROZEN, Asked, recommend
from recops.paths import Layout
from recops.retrieval.evidence import Evidence
from recops.tools.sanitize import Sanitizer
from recops.tools.toolbox import Toolbox
from tests.recops.agent.world import AGENT
from tests.recops.evaluate.small_pipeline import (
    CONFIG,
    INJECTION,
    NUM_CANDIDATES,
    NUM_RANKED,
    USER_WITHOUT_TEST,
    played,
)

NEW_USER = f"u{USER_WITHOUT_TEST}"
SHOWN_INJECTION = Sanitizer(200).clean(INJECTION)


def recipe_with(*, negatives: Literal["uniform", "popularity"] = "uniform", seed: int = 7) -> Recipe:
    """The sections that a recommendation reads; the others are left out."""
    candidates = CandidatesConfig(num_candidates=NUM_CANDIDATES, negatives=negatives, further_negatives=())
    splits = ValidatedSplitsConfig.model_construct(candidates=candidates)
    return Recipe.model_construct(
        name="small", seed=seed, agent=AGENT, validated_splits=splits, evaluation_reports=CONFIG
    )


@pytest.fixture
def recipe() -> Recipe:
    return recipe_with()


def test_user_with_a_test_sample_gets_its_frozen_candidates_ranked(
    layout: Layout, recipe: Recipe, evidence: Evidence
) -> None:
    store = evidence.store
    samples = [store.sample(int(sample_id)) for sample_id in store.sample_ids("test")]
    frozen = next(sample for sample in samples if sample.user == 2)
    given = recommend(layout, recipe, Asked("u2"), "ppr_model")
    assert (given.candidates, given.num_ranked, given.num_episodes) == (FROZEN, NUM_CANDIDATES, 1)
    assert given.timestamp == frozen.timestamp
    assert given == recommend(layout, recipe, Asked("u2"), "ppr_model")
    names = {str(store.items["item_id"][item - 1]) for item in frozen.candidates}
    assert {item.item_id for item in given.items} <= names
    assert [turn.kind for turn in given.turns].count("call") == given.num_calls


def test_valid_answer_becomes_items_with_titles_and_reasons(
    layout: Layout, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first_call_then_target(_: object, evidence: Evidence, *__: object, **___: object) -> object:
        toolbox = Toolbox(evidence, AGENT)
        return lambda tasks: [played(task, toolbox, rank=1, tools=("rank_by_popularity",)) for task in tasks]

    monkeypatch.setattr(module, "player_of", first_call_then_target)
    given = recommend(layout, recipe, Asked("u3"), "grpo_model")
    assert not given.invalid
    assert [item.place for item in given.items] == list(range(1, NUM_RANKED + 1))
    assert [item.label for item in given.items] == ["A", "C", "B", "D"]
    assert all(item.title == item.item_id or item.title.startswith(SHOWN_INJECTION) for item in given.items)
    assert [turn.kind for turn in given.turns] == ["thought", "call", "tool", "thought"]
    assert given.turns[1].text == 'rank_by_popularity(window="ever")'
    assert len(given.history) == 5


def test_invalid_answer_recommends_nothing_and_says_why(
    layout: Layout, recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def label_twice(_: object, evidence: Evidence, *__: object, **___: object) -> object:
        return lambda tasks: [played(task, Toolbox(evidence, AGENT), rank=None) for task in tasks]

    monkeypatch.setattr(module, "player_of", label_twice)
    given = recommend(layout, recipe, Asked("u3"), "grpo_model")
    assert (given.invalid, given.error, given.items) == (True, "repeated_label", ())


def test_user_without_a_test_sample_gets_drawn_candidates_now(
    layout: Layout, recipe: Recipe, evidence: Evidence
) -> None:
    sample = newest_moment(evidence.store, NEW_USER, recipe)
    rows = evidence.store.user_rows(USER_WITHOUT_TEST)
    taken = evidence.store.item[rows].tolist()
    assert [event.item for event in sample.history] == taken
    assert len(set(sample.candidates)) == NUM_CANDIDATES
    assert not set(sample.candidates) & set(taken)
    assert sample.timestamp > evidence.store.timestamp.max()
    assert sample.target == NO_TARGET
    assert sample == newest_moment(evidence.store, NEW_USER, recipe)
    assert sample.candidates != newest_moment(evidence.store, NEW_USER, recipe_with(seed=8)).candidates
    given = recommend(layout, recipe, Asked(NEW_USER), "ppr_model")
    assert given.candidates == DRAWN
    assert given.timestamp == sample.timestamp


def test_popular_items_are_drawn_where_the_recipe_says_so(evidence: Evidence) -> None:
    sample = newest_moment(evidence.store, NEW_USER, recipe_with(negatives="popularity"))
    assert set(sample.candidates) <= set(evidence.store.item.tolist())


def test_unknown_user_is_told_who_is_known(layout: Layout, recipe: Recipe) -> None:
    with pytest.raises(InputError, match="Take one of the 10 users, such as 'u0', 'u1', 'u2'") as error:
        recommend(layout, recipe, Asked("nobody"), "ppr_model")
    assert error.value.found == "'nobody'"


def test_user_without_history_is_refused(recipe: Recipe, evidence: Evidence) -> None:
    class Newcomer:
        """The store with a user who took nothing."""

        def __init__(self) -> None:
            self.__dict__ = {**evidence.store.__dict__, "sample_ids": lambda _: [], "user_rows": lambda _: slice(0, 0)}

    with pytest.raises(InputError, match="'u0' without history"):
        newest_moment(Newcomer(), "u0", recipe)  # type: ignore[arg-type]


def test_stage_without_a_policy_is_refused(layout: Layout, recipe: Recipe) -> None:
    with pytest.raises(InputError, match="Name one of base_policy, sft_checkpoint, grpo_model, ppr_model"):
        recommend(layout, recipe, Asked("u1"), "raw_data")


def test_missing_policy_is_named_with_the_next_step(layout: Layout, recipe: Recipe) -> None:
    elsewhere = dataclasses.replace(layout, recipe="absent")
    with pytest.raises(InputError, match="recops stage validated_splits --recipe absent"):
        recommend(elsewhere, recipe, Asked("u1"), "grpo_model")
