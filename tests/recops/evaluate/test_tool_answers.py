from pathlib import Path

import numpy as np
import pytest

from recops.agent.fusion import Source
from recops.evaluate.tool_answers import ORDERS, ordering_toolbox, read_groups, tool_answers
from recops.records import Sample, Task, label
from recops.retrieval.evidence import Evidence
from recops.tools.toolbox import Toolbox
from tests.recops.evaluate.baseline_settings import FULL_AGENT, evidence_of
from tests.recops.retrieval.conftest import fitted
from tests.recops.retrieval.small_splits import AGENT, NUM_CANDIDATES, stage_io

__all__ = ["fitted"]

ANSWER = """group0: A C E
A: trap: B
Other categories: D
Price low: A B
Price high: C
Price unknown: D E F"""


@pytest.fixture(scope="module")
def known(fitted: Path) -> Evidence:
    return evidence_of(fitted, stage_io(fitted, "baselines").layout.artefact("validated_splits"))


@pytest.fixture
def samples(known: Evidence) -> list[Sample]:
    return [known.store.sample(i) for i in known.store.sample_ids("test").tolist()[:12]]


def test_a_list_is_the_order_that_the_agents_tool_writes(known: Evidence, samples: list[Sample]) -> None:
    """Ties and unknowns too: the ranker and the agent merge the same lists."""
    toolbox = Toolbox(known, FULL_AGENT)
    answers = tool_answers(toolbox, samples, FULL_AGENT)
    for name, source in ORDERS.items():
        for row, sample in enumerate(samples):
            answer = toolbox.call(Task(sample, sample.candidates, "rank"), source.tool, source.arguments)
            names = [word for line in answer.splitlines() for word in line.partition(":")[2].split()]
            assert names == [label(int(place)) for place in np.argsort(answers.orders[name].places[row])], name
            unknown = {word for line in answer.splitlines() if line.startswith("Unknown") for word in line.split()[1:]}
            assert {label(int(i)) for i in np.flatnonzero(answers.orders[name].unknown[row])} == unknown


def test_a_tool_that_answers_otherwise_changes_its_feature_and_no_other(
    known: Evidence, samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tool_answers(Toolbox(known, FULL_AGENT), samples, FULL_AGENT)
    toolbox = Toolbox(known, FULL_AGENT)
    labels = " ".join(label(place) for place in range(NUM_CANDIDATES - 1))
    last = label(NUM_CANDIDATES - 1)
    monkeypatch.setitem(toolbox.functions, "rank_by_next_item", lambda context: f"Order: {labels}\nUnknown: {last}")
    after = tool_answers(toolbox, samples, FULL_AGENT)
    changed = [name for f, name in enumerate(after.names) if not _equal(before.features, after.features, f)]
    assert changed == ["sasrec place", "sasrec unknown"]
    place, unknown = (after.features[:, :, after.names.index(name)] for name in changed)
    assert place[0, :-1].tolist() == list(range(NUM_CANDIDATES - 1))
    assert np.isnan(place[:, -1]).all()
    assert (unknown == 1).all()


def _equal(one: np.ndarray, other: np.ndarray, feature: int) -> bool:
    return np.array_equal(one[:, :, feature], other[:, :, feature], equal_nan=True)


def test_a_ranker_sees_only_what_the_agents_own_tools_say(known: Evidence, samples: list[Sample]) -> None:
    assert AGENT.tools == ("rank_by_next_item",)
    answers = tool_answers(ordering_toolbox(known, AGENT), samples, AGENT)
    assert answers.names == ("sasrec place", "sasrec unknown")
    assert answers.visible == ("sasrec",)
    assert set(answers.orders) == set(ORDERS)


def test_history_features_are_what_the_history_tool_writes(known: Evidence, samples: list[Sample]) -> None:
    answers = tool_answers(Toolbox(known, FULL_AGENT), samples, FULL_AGENT)
    for row, sample in enumerate(samples):
        events = answers.features[row, :, answers.names.index("events")]
        days = answers.features[row, :, answers.names.index("days since the last")]
        assert set(events) == {len(sample.history)}
        assert set(days) == {(sample.timestamp - sample.history[-1].timestamp) // 86_400_000}


def test_groups_are_read_line_by_line_and_a_colon_in_a_category_does_no_harm() -> None:
    groups = read_groups(ANSWER, 6)
    nan = np.nan
    np.testing.assert_array_equal(groups["category place"], [0, 1, 0, nan, 0, nan])
    np.testing.assert_array_equal(groups["category size"], [3, 1, 3, nan, 3, nan])
    np.testing.assert_array_equal(groups["price band"], [0, 0, 2, nan, nan, nan])


def test_every_ordering_source_of_the_scripted_expert_is_a_baseline() -> None:
    from recops.agent.fusion import sources_of

    assert set(ORDERS.values()) == set(sources_of(FULL_AGENT))
    assert all(isinstance(source, Source) for source in ORDERS.values())
