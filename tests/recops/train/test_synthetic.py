from collections import Counter, defaultdict

import numpy as np
import pytest

from recops.agent.answer import parse_answer
from recops.agent.fusion import UNKNOWN, Source, read_order, sources_of
from recops.records import label
from recops.tools.habits import HABIT_WORDS, HABITS, read_habits
from recops.tools.toolbox import Toolbox
from recops.train.synthetic import SyntheticEpisodes, draw_views, view_scores
from tests.recops.agent.world import AGENT, changed
from tests.recops.evaluate.small_pipeline import NUM_ITEMS

SOURCES = sources_of(AGENT)


@pytest.fixture
def source(toolbox: Toolbox) -> SyntheticEpisodes:
    return SyntheticEpisodes(toolbox.item_text, NUM_ITEMS, AGENT)


def _orders(messages: list[dict[str, str]], count: int) -> list[np.ndarray]:
    texts = [message["content"] for message in messages if message["role"] == "tool"]
    return [read_order(text, count) for text in texts if text.startswith(("Order:", "Unknown:"))]


def test_the_fusion_of_one_view_is_its_copy() -> None:
    [(known, unknown)], fusion = draw_views(np.random.default_rng(1), 8, 1, AGENT.merge)
    assert fusion == [*known, *unknown]


def test_the_answer_is_the_fusion_of_the_orders_that_the_episode_shows(source: SyntheticEpisodes) -> None:
    generator = np.random.default_rng(2)
    for _ in range(20):
        messages = source.draw(generator, num_candidates=6, num_views=2, direction="rank", history=2)
        orders = _orders(messages, 6)
        points = [1.0 / (AGENT.merge.rank_constant + np.where(ranks == UNKNOWN, np.inf, ranks)) for ranks in orders]
        scores = AGENT.merge.lead_factor * points[0] + points[1]
        named = messages[-1]["content"].rpartition("Answer:")[2].split()
        assert len(named) == AGENT.num_ranked
        written = [scores[[label(place) for place in range(6)].index(name)] for name in named]
        assert np.all(np.diff(written) <= 1e-12)


@pytest.mark.parametrize("setting", [{"rank_constant": 9.0}, {"lead_factor": 9.0}])
def test_the_warm_up_merges_as_the_agent_says(setting: dict[str, float]) -> None:
    merges = AGENT.merge, AGENT.merge.model_copy(update=setting)

    drawn = [draw_views(np.random.default_rng(1), 20, 2, merge) for merge in merges]

    assert drawn[0][0][0][0].tolist() == drawn[1][0][0][0].tolist()
    assert drawn[0][1] != drawn[1][1]


@pytest.mark.parametrize("loop", ["react", "analyze_plan_act"])
def test_without_tools_an_episode_is_an_answer_that_nothing_tells(toolbox: Toolbox, loop: str) -> None:
    agent = AGENT.model_copy(update={"tools": (), "loop": loop})
    source = SyntheticEpisodes(toolbox.item_text, 10, agent)
    generator = np.random.default_rng(1)
    drawn = [source.draw(generator, num_candidates=6, num_views=2, direction="rank", history=2) for _ in range(40)]
    assert {tuple(message["role"] for message in messages) for messages in drawn} == {("system", "user", "assistant")}
    assert len({messages[-1]["content"] for messages in drawn}) > 30


def test_less_is_answered_by_the_worst_of_two_and_more_by_the_best(source: SyntheticEpisodes) -> None:
    answers = {}
    for direction in ("more", "less"):
        generator = np.random.default_rng(3)
        messages = source.draw(generator, num_candidates=2, num_views=1, direction=direction, history=2)
        assert direction.upper() in messages[1]["content"]
        answers[direction] = messages[-1]["content"].rpartition("Answer:")[2].strip()
    assert sorted(answers.values()) == ["A", "B"]


def test_an_unknown_candidate_adds_next_to_nothing() -> None:
    scores = view_scores(np.array([2, 0]), np.array([1]), AGENT.merge.rank_constant)
    assert scores[2] > scores[0] > 0.1 > abs(scores[1])


def test_answers_parse(source: SyntheticEpisodes, toolbox: Toolbox) -> None:
    from tests.recops.agent.world import all_tasks

    task = all_tasks(toolbox)[0]
    messages = source.draw(
        np.random.default_rng(4), num_candidates=len(task.candidates), num_views=3, direction="rank", history=2
    )
    assert parse_answer(messages[-1]["content"], task, AGENT).error is None


def test_each_habit_mostly_decides_one_tool_that_an_episode_asks(toolbox: Toolbox) -> None:
    source = SyntheticEpisodes(toolbox.item_text, NUM_ITEMS, changed(profile_parts=("habits",)))
    generator, lead, both = np.random.default_rng(5), defaultdict(Counter), 0
    for _ in range(300):
        messages = source.draw(generator, num_candidates=4, num_views=2, direction="rank", history=2)
        calls = [one["tool_calls"][0]["function"] for one in messages if "tool_calls" in one]
        assert calls[0] == {"name": "get_user_profile", "arguments": {}}
        told = read_habits(next(one["content"] for one in messages if one["role"] == "tool"))
        assert tuple(told) == tuple(HABITS)
        asked = [one for call in calls if (one := Source(call["name"], call["arguments"].get("window"))) in SOURCES]
        first, second = told.values()
        lead[first][asked[0].name] += 1
        both += first != second and SOURCES[HABIT_WORDS.index(second)] == asked[1]
    favourites = [found.most_common(1)[0] for found in lead.values()]
    assert 0.85 < sum(count for _, count in favourites) / 300 < 1.0, "now and then it is anyone"
    assert len({tool for tool, _ in favourites}) == len(lead) == len(HABIT_WORDS)
    assert both / 300 > 0.6


def test_without_habits_anyone_is_asked(source: SyntheticEpisodes) -> None:
    generator = np.random.default_rng(6)
    drawn = [source.draw(generator, num_candidates=4, num_views=1, direction="rank", history=2) for _ in range(100)]

    calls = [one["tool_calls"][0]["function"] for messages in drawn for one in messages if "tool_calls" in one]
    assert all(call["name"] != "get_user_profile" for call in calls)
    assert min(Counter(str(call) for call in calls if call["name"].startswith("rank")).values()) > 5


def test_a_synthetic_rating_is_drawn_and_not_the_catalogues(toolbox: Toolbox) -> None:
    agent = changed(history_fields=("rating",), candidate_fields=("rating",))
    source = SyntheticEpisodes(toolbox.item_text, NUM_ITEMS, agent)
    generator = np.random.default_rng(7)
    prompt = source.draw(generator, num_candidates=6, num_views=1, direction="rank", history=3)[1]["content"]
    stars = [float(line.split()[-2]) for line in prompt.splitlines() if line.endswith(" stars")]
    assert len(stars) == 6 + 3
    assert len(set(stars)) > 3, "every item of this catalogue has the same average"
    assert all(1 <= one <= 5 for one in stars)
