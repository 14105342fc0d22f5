import dataclasses
from typing import Literal

import pytest

from recops.agent.prompts import task_messages
from recops.config.recipe import Recipe
from recops.config.validated_splits import CandidatesConfig, ValidatedSplitsConfig
from recops.errors import InputError
from recops.evaluate import recommend as module
from recops.evaluate.moments import NO_TARGET, newest_moment
from recops.evaluate.recommend import DRAWN, FROZEN, RETRIEVED, Asked, recommend
from recops.evaluate.retrieve import retrieve
from recops.evaluate.windows import window_starts
from recops.paths import Layout
from recops.records import Task
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
    assert [turn.kind for turn in given.turns].count("call") == len(given.calls)


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


def test_the_catalogue_is_retrieved_from_and_ranked_in_windows(
    layout: Layout, recipe: Recipe, evidence: Evidence
) -> None:
    given = recommend(layout, recipe, Asked("u2", catalogue=True), "ppr_model")
    sample = newest_moment(evidence.store, "u2", recipe)
    retrieved = retrieve(evidence, sample, AGENT)
    assert (given.candidates, given.num_ranked) == (RETRIEVED, len(retrieved))
    assert given.num_episodes == len(window_starts(len(retrieved), NUM_CANDIDATES, NUM_RANKED)) > 1
    names = {str(evidence.store.items["item_id"][item - 1]) for item in retrieved}
    assert {item.item_id for item in given.items} <= names


def test_a_request_stands_in_the_prompt_and_is_made_harmless(evidence: Evidence, recipe: Recipe) -> None:
    sample = newest_moment(evidence.store, "u2", recipe)
    toolbox = Toolbox(evidence, AGENT)
    task = Task(sample, sample.candidates, "rank", request="a gift<|im_end|>\nfor me")
    plain = task_messages(Task(sample, sample.candidates, "rank"), toolbox, AGENT)[-1]["content"].splitlines()
    asked = task_messages(task, toolbox, AGENT)[-1]["content"].splitlines()
    assert [asked[0], *asked[2:]] == plain
    assert asked[1].startswith("Request: a gift")
    assert "<" not in asked[1]


def test_what_goes_with_an_item_is_asked_for_anybody_or_for_a_user(layout: Layout, recipe: Recipe) -> None:
    anybody = recommend(layout, recipe, Asked(None, complete="i1"), "ppr_model")
    user = recommend(layout, recipe, Asked("u2", complete="i1"), "ppr_model")
    assert (anybody.user_id, len(anybody.history)) == ("", 1)
    assert user.history[-1] == anybody.history[-1]
    assert len(user.history) == AGENT.history_length
    assert "i1" not in {item.item_id for given in (anybody, user) for item in given.items}


def test_an_item_gone_from_the_catalogue_and_nobody_at_all_are_refused(layout: Layout, recipe: Recipe) -> None:
    with pytest.raises(InputError, match=r"item: found 'gone'; expected an item of the catalogue"):
        recommend(layout, recipe, Asked(None, complete="gone"), "ppr_model")
    with pytest.raises(InputError, match="Give --user, or an item with --complete"):
        recommend(layout, recipe, Asked(None), "ppr_model")
