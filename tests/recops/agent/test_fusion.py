import dataclasses
import itertools

import numpy as np
import pytest

from recops.agent.fusion import UNKNOWN, Fusion, Source, ask, habits, read_order, sources_of
from recops.records import Event, Task
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


def fitted(ranks_NSK: np.ndarray, targets_N: np.ndarray, rank_constant: float = 1.0) -> Fusion:
    """Weights that depend on no habit."""
    sources = (GOOD, NOISE, LATE)[: ranks_NSK.shape[1]]
    return Fusion(
        sources, ranks_NSK, targets_N, np.empty((len(targets_N), 0)), habit_names=(), rank_constant=rank_constant
    )


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    return fitted(*ranks_where_the_first_source_knows())


def test_an_order_is_read_back_as_ranks() -> None:
    assert read_order("Order: C A\nUnknown: B D", 4).tolist() == [1, UNKNOWN, 0, UNKNOWN]
    assert read_order("Unknown: B A", 2).tolist() == [UNKNOWN, UNKNOWN]


def test_a_source_that_knows_gets_more_weight_than_noise(fusion: Fusion) -> None:
    good, noise, *_ = fusion.weights((0, 1))

    assert good > 1.0 > abs(noise)


def test_unknown_counts_where_targets_are_unknown(fusion: Fusion) -> None:
    scores = fusion.scores({LATE: np.array([0, 1, UNKNOWN])}, np.empty(0))

    assert int(np.argmax(scores)) == 2


def test_a_fitted_fusion_is_no_worse_than_its_best_source(fusion: Fusion) -> None:
    assert fusion.ndcg((0, 1)) >= max(fusion.ndcg((0,)), fusion.ndcg((1,))) - 1e-3


def test_the_best_set_is_the_best_of_all_of_its_size(fusion: Fusion) -> None:
    sets = list(itertools.combinations(range(3), 2))

    assert fusion.ndcg(fusion.best(2)) == max(map(fusion.ndcg, sets))


def test_ndcg_of_a_single_source_counts_unknown_targets_by_expectation() -> None:
    ranks_NSK = np.array([[[0, 1, UNKNOWN, UNKNOWN]]])
    gains = 1 / np.log2(np.arange(4) + 2.0)

    single = [fitted(ranks_NSK, np.array([target])).single_ndcg()[GOOD.name] for target in range(4)]

    assert single == pytest.approx([gains[0], gains[1], gains[2:].mean(), gains[2:].mean()])


def test_the_rank_constant_changes_the_weights() -> None:
    data = ranks_where_the_first_source_knows()

    weights = [fitted(*data, rank_constant=constant).weights((0, 1)) for constant in (1.0, 9.0)]

    assert not np.allclose(*weights)


def test_sources_are_those_of_the_suite() -> None:
    assert [one.name for one in sources_of(changed(tools=("rank_by_popularity", "get_item_info")))] == [
        "rank_by_popularity/recent",
        "rank_by_popularity/ever",
    ]


def test_what_tools_say_is_what_the_fit_reads(toolbox: Toolbox) -> None:
    tasks, sources = all_tasks(toolbox)[:3], sources_of(AGENT)

    ranks_NSK = ask(toolbox, tasks, sources)

    assert ranks_NSK.shape == (3, 5, 6)
    text = toolbox.call(tasks[1], "rank_by_popularity", {"window": "ever"})
    assert ranks_NSK[1, 3].tolist() == read_order(text, 6).tolist()


def test_the_most_telling_source_comes_first(fusion: Fusion) -> None:
    order = fusion.best_first(3)

    assert sorted(order) == [0, 1, 2]
    assert [fusion.ndcg((place,)) for place in order] == sorted((fusion.ndcg((one,)) for one in range(3)), reverse=True)


def test_weights_depend_on_habits_where_targets_do() -> None:
    """Half of the users, who repeat categories, take what the first source says, the others what the second says."""
    generator = np.random.default_rng(0)
    targets_N = generator.integers(NUM_CANDIDATES, size=NUM_TASKS)
    repeats_N = generator.random(NUM_TASKS) < 0.5
    scores_NSK = generator.normal(size=(NUM_TASKS, 2, NUM_CANDIDATES))
    scores_NSK[np.arange(NUM_TASKS), np.where(repeats_N, 0, 1), targets_N] += 3.0
    ranks_NSK = np.argsort(np.argsort(-scores_NSK, axis=2), axis=2)
    habits_NH = repeats_N[:, None].astype(float)

    reading = Fusion((GOOD, NOISE), ranks_NSK, targets_N, habits_NH, habit_names=("category",), rank_constant=1.0)

    first_wins = {GOOD: np.array([0, 1]), NOISE: np.array([1, 0])}
    assert int(np.argmax(reading.scores(first_wins, np.array([1.0])))) == 0
    assert int(np.argmax(reading.scores(first_wins, np.array([0.0])))) == 1
    assert reading.ndcg((0, 1)) > fitted(ranks_NSK, targets_N).ndcg((0, 1)) + 0.1
    [told] = reading.described().values()
    assert told[f"{GOOD.name} x category"] > 1.0 > -1.0 > told[f"{NOISE.name} x category"]


def test_habits_are_what_the_history_in_the_prompt_repeats(toolbox: Toolbox) -> None:
    task = max(all_tasks(toolbox), key=lambda one: len(one.sample.history))
    agent = changed(history_fields=("category",), history_length=4)
    by_category: dict[str, list[int]] = {}
    for item in range(1, toolbox.store.num_items + 1):
        by_category.setdefault(toolbox.item_text.field(item, "category"), []).append(item)
    one, two = next(items for items in by_category.values() if len(items) >= 2)[:2]
    other = next(items[0] for items in by_category.values() if one not in items)

    def of(*items: int) -> list[float]:
        history = tuple(Event(item, number, None) for number, item in enumerate(items))
        shown = Task(dataclasses.replace(task.sample, history=history), task.candidates, "rank")
        return habits(shown, toolbox, agent).tolist()

    assert of(one, two) == [1.0]
    assert of(one, other) == of(other) == of() == [0.0]
    assert of(one, other, two) == [0.5]
    assert of(one, other, other, other, other) == [1.0]  # the fifth from the end is not in the prompt
    assert habits(task, toolbox, changed(history_fields=())).shape == (0,)
    assert habits(task, toolbox, changed(history_fields=("category", "store"))).shape == (2,)
