import itertools

import numpy as np
import pytest

from recops.agent.fusion import UNKNOWN, Fusion, Habits, Source, ask, ask_habits, read_order, sources_of
from recops.config.agent import MergeConfig
from recops.tools.toolbox import Toolbox
from tests.recops.agent.world import AGENT, all_tasks, changed

GOOD, NOISE, LATE = (
    Source("rank_by_next_item", None),
    Source("rank_by_similarity", None),
    Source("get_similar_users", None),
)
NUM_TASKS, NUM_CANDIDATES = 400, 8


def ranks_where_the_first_source_knows() -> tuple[np.ndarray, np.ndarray]:
    """The target is high in the first list, anywhere in the second, and unknown to the third."""
    generator = np.random.default_rng(0)
    targets_N = generator.integers(NUM_CANDIDATES, size=NUM_TASKS)
    ranks_NSK = np.empty((NUM_TASKS, 3, NUM_CANDIDATES), dtype=np.int64)
    for task, target in enumerate(targets_N):
        scores = generator.normal(size=(3, NUM_CANDIDATES))
        scores[0, target] += 2.0
        ranks_NSK[task] = np.argsort(np.argsort(-scores, axis=1), axis=1)
        ranks_NSK[task, 2, target] = UNKNOWN
    return ranks_NSK, targets_N


def fusion_of(
    ranks_NSK: np.ndarray, targets_N: np.ndarray, habits_N: list[Habits] | None = None, **settings: float
) -> Fusion:
    sources = (GOOD, NOISE, LATE)[: ranks_NSK.shape[1]]
    habits_N = [()] * len(targets_N) if habits_N is None else habits_N
    merge = MergeConfig(**{"rank_constant": 1.0, "lead_factor": 1.5, **settings})
    return Fusion(sources, ranks_NSK, targets_N, habits_N, merge)


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    return fusion_of(*ranks_where_the_first_source_knows())


def test_an_order_is_read_back_as_ranks() -> None:
    assert read_order("Order: C A\nUnknown: B D", 4).tolist() == [1, UNKNOWN, 0, UNKNOWN]
    assert read_order("Unknown: B A", 2).tolist() == [UNKNOWN, UNKNOWN]


def test_the_first_order_leads_and_an_unknown_candidate_gets_nothing(fusion: Fusion) -> None:
    first, second = np.array([0, 1, 2]), np.array([UNKNOWN, 1, 0])

    assert fusion.scores([first]).tolist() == pytest.approx([1.5, 1.5 / 2, 1.5 / 3])
    assert fusion.scores([first, second]).tolist() == pytest.approx([1.5, 1.5 / 2 + 1 / 2, 1.5 / 3 + 1])
    assert fusion.scores([second, first]).tolist() == pytest.approx([1, 1.5 / 2 + 1 / 2, 1.5 + 1 / 3])


@pytest.mark.parametrize("setting", ["rank_constant", "lead_factor"])
def test_each_setting_changes_the_scores(setting: str) -> None:
    data = ranks_where_the_first_source_knows()
    orders = [np.array([0, 1, 2]), np.array([2, 1, 0])]

    assert not np.allclose(*(fusion_of(*data, **{setting: value}).scores(orders) for value in (2.0, 9.0)))


def test_the_plan_is_the_best_of_all_of_its_size(fusion: Fusion) -> None:
    plans = list(itertools.permutations(range(3), 2))

    assert fusion.plan(1, ()) == (0,)
    assert fusion.gains(fusion.plan(2, ())).mean() == max(fusion.gains(plan).mean() for plan in plans)
    assert sorted(fusion.plan(3, ())) == [0, 1, 2]


def test_those_that_do_not_lead_come_best_first() -> None:
    ranks_NSK, targets_N = ranks_where_the_first_source_knows()
    everywhere = fusion_of(ranks_NSK[:, [1, 0, 2]], targets_N, lead_factor=1.0)

    _, *others = everywhere.plan(3, ())

    alone = [everywhere.gains((place,)).mean() for place in others]
    assert alone == sorted(alone, reverse=True)


def test_ndcg_of_a_single_source_counts_unknown_targets_by_expectation() -> None:
    ranks_NSK = np.array([[[0, 1, UNKNOWN, UNKNOWN]]])
    gains = 1 / np.log2(np.arange(4) + 2.0)

    single = [fusion_of(ranks_NSK, np.array([target])).single_ndcg()[GOOD.name] for target in range(4)]

    assert single == pytest.approx([gains[0], gains[1], gains[2:].mean(), gains[2:].mean()])


def test_sources_are_those_of_the_suite() -> None:
    assert [one.name for one in sources_of(changed(tools=("rank_by_popularity", "get_item_info")))] == [
        "rank_by_popularity/recent",
        "rank_by_popularity/ever",
    ]


def test_what_tools_say_is_what_the_fit_reads(toolbox: Toolbox) -> None:
    tasks, sources = all_tasks(toolbox)[:3], sources_of(AGENT)

    ranks_NSK = ask(toolbox, tasks, sources)

    assert ranks_NSK.shape == (3, 6, 6)
    text = toolbox.call(tasks[1], "rank_by_popularity", {"window": "ever"})
    assert ranks_NSK[1, 3].tolist() == read_order(text, 6).tolist()


def divided_users(num_few: int) -> tuple[np.ndarray, np.ndarray, list[Habits]]:
    """Who comes back takes what the first source says, others what the second says; a few habits nobody else has."""
    generator = np.random.default_rng(0)
    targets_N = generator.integers(NUM_CANDIDATES, size=NUM_TASKS)
    returns_N = generator.random(NUM_TASKS) < 0.4
    returns_N[:num_few] = True
    scores_NSK = generator.normal(size=(NUM_TASKS, 2, NUM_CANDIDATES))
    scores_NSK[np.arange(NUM_TASKS), np.where(returns_N, 0, 1), targets_N] += 3.0
    habits_N: list[Habits] = [("often",) if returns else ("never",) for returns in returns_N]
    habits_N[:num_few] = [("sometimes",)] * num_few
    return np.argsort(np.argsort(-scores_NSK, axis=2), axis=2), targets_N, habits_N


def test_habits_say_who_leads() -> None:
    ranks_NSK, targets_N, habits_N = divided_users(num_few=5)

    told, alike = fusion_of(ranks_NSK, targets_N, habits_N), fusion_of(ranks_NSK, targets_N)

    assert told.plan(2, ("often",)) == (0, 1)
    assert told.plan(2, ("never",)) == told.plan(2, ()) == alike.plan(2, ()) == (1, 0)
    for few in (("sometimes",), ("unheard of",)):
        assert told.plan(2, few) == (1, 0)
    described = told.described()["2 orders"]
    assert described["often"]["asks"] == [GOOD.name, NOISE.name]
    assert described["all users"]["users"] == NUM_TASKS == sum(described[one]["users"] for one in
                                                                ("often", "never", "sometimes"))  # fmt: skip
    assert described["often"]["ndcg"] > 0.8


def test_enough_users_choose_for_themselves() -> None:
    ranks_NSK, targets_N, habits_N = divided_users(num_few=60)

    assert fusion_of(ranks_NSK, targets_N, habits_N).plan(2, ("sometimes",)) == (0, 1)


def test_habits_are_what_the_profile_tells(toolbox: Toolbox) -> None:
    agent = changed(profile_parts=("span", "habits"))
    tasks = all_tasks(toolbox)
    told = ask_habits(Toolbox(toolbox.evidence, agent), tasks, agent)

    assert {len(one) for one in told} == {2}
    assert len({word for one in told for word in one}) > 1
    assert ask_habits(toolbox, tasks, AGENT) == [()] * len(tasks)
    silent = changed(agent, tools=("rank_by_next_item",))
    assert ask_habits(Toolbox(toolbox.evidence, silent), tasks, silent) == [()] * len(tasks)
