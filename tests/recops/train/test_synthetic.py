import numpy as np
import pytest

from recops.agent.answer import parse_answer
from recops.agent.fusion import UNKNOWN, read_order
from recops.records import label
from recops.tools.toolbox import Toolbox
from recops.train.synthetic import SyntheticEpisodes, draw_views, view_scores
from tests.recops.agent.world import AGENT
from tests.recops.evaluate.small_pipeline import NUM_ITEMS


@pytest.fixture
def source(toolbox: Toolbox) -> SyntheticEpisodes:
    return SyntheticEpisodes(toolbox.item_text, NUM_ITEMS, AGENT)


def _orders(messages: list[dict[str, str]], count: int) -> list[np.ndarray]:
    texts = [message["content"] for message in messages if message["role"] == "tool"]
    return [read_order(text, count) for text in texts if text.startswith(("Order:", "Unknown:"))]


def test_the_fusion_of_one_view_is_its_copy() -> None:
    [(known, unknown)], fusion = draw_views(np.random.default_rng(1), 8, 1)
    assert fusion == [*known, *unknown]


def test_the_answer_is_the_fusion_of_the_orders_that_the_episode_shows(source: SyntheticEpisodes) -> None:
    generator = np.random.default_rng(2)
    for _ in range(20):
        messages = source.draw(generator, num_candidates=6, num_views=2, direction="rank", history=2)
        orders = _orders(messages, 6)
        scores = np.sum([np.where(ranks == UNKNOWN, 0.0, 1.0 / (1.0 + ranks)) for ranks in orders], axis=0)
        named = messages[-1]["content"].rpartition("Answer:")[2].split()
        assert len(named) == AGENT.num_ranked
        written = [scores[[label(place) for place in range(6)].index(name)] for name in named]
        assert np.all(np.diff(written) <= 1e-12)


def test_less_is_answered_by_the_worst_of_two_and_more_by_the_best(source: SyntheticEpisodes) -> None:
    answers = {}
    for direction in ("more", "less"):
        generator = np.random.default_rng(3)
        messages = source.draw(generator, num_candidates=2, num_views=1, direction=direction, history=2)
        assert direction.upper() in messages[1]["content"]
        answers[direction] = messages[-1]["content"].rpartition("Answer:")[2].strip()
    assert sorted(answers.values()) == ["A", "B"]


def test_an_unknown_candidate_adds_next_to_nothing() -> None:
    scores = view_scores(np.array([2, 0]), np.array([1]))
    assert scores[2] > scores[0] > 0.1 > abs(scores[1])


def test_answers_parse(source: SyntheticEpisodes, toolbox: Toolbox) -> None:
    from tests.recops.agent.world import all_tasks

    task = all_tasks(toolbox)[0]
    messages = source.draw(
        np.random.default_rng(4), num_candidates=len(task.candidates), num_views=3, direction="rank", history=2
    )
    assert parse_answer(messages[-1]["content"], task, AGENT).error is None
