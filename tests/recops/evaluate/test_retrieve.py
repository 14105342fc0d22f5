import dataclasses

import numpy as np
import pytest

from recops.errors import InputError
from recops.evaluate import retrieve as module
from recops.evaluate.moments import moment_of_item, moment_of_user
from recops.evaluate.retrieve import findable, merged, retrieve, retrieve_complements
from recops.records import Sample
from recops.retrieval.evidence import Evidence
from tests.recops.agent.world import AGENT
from tests.recops.evaluate.small_pipeline import NUM_ITEMS


@pytest.fixture
def sample(evidence: Evidence) -> Sample:
    return evidence.store.sample(int(evidence.store.sample_ids("test")[0]))


def test_only_items_that_others_took_before_and_the_user_did_not_are_found(evidence: Evidence, sample: Sample) -> None:
    store = evidence.store
    taken_before = set(store.item[store.timestamp < sample.timestamp].tolist())

    found = set(findable(evidence, sample).tolist())

    assert found == taken_before - {event.item for event in sample.history}
    assert len(retrieve(evidence, sample, AGENT)) == min(50, len(found))


def test_the_target_is_neither_inserted_nor_looked_at(evidence: Evidence, sample: Sample) -> None:
    blind = dataclasses.replace(sample, target=0, candidates=())

    assert retrieve(evidence, blind, AGENT) == retrieve(evidence, sample, AGENT)
    never = [item for item in range(1, NUM_ITEMS + 1) if item not in findable(evidence, sample)]
    assert never[0] not in retrieve(evidence, dataclasses.replace(sample, target=never[0]), AGENT)


def test_nothing_after_the_moment_is_read(evidence: Evidence, sample: Sample) -> None:
    store = evidence.store
    past = moment_of_user(store, sample.user, int(store.timestamp.min()) + 1)

    assert past.history == tuple(event for event in sample.history if event.timestamp < past.timestamp)
    with pytest.raises(InputError, match="no item to recommend"):
        retrieve(evidence, moment_of_user(store, sample.user, int(store.timestamp.min())), AGENT)


def test_items_whose_words_match_a_request_come_first(evidence: Evidence, sample: Sample) -> None:
    items = findable(evidence, sample)
    scores = evidence.catalogue.match("broken", items.tolist())
    matching = set(items[~np.isnan(scores)].tolist())

    found = retrieve(evidence, sample, AGENT, "something broken for a friend")

    assert matching
    assert matching <= set(found[: max(found.index(item) for item in matching) + 1])
    assert found != retrieve(evidence, sample, AGENT)
    assert len(set(found)) == len(found)


def test_what_was_taken_together_goes_with_an_item(evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "NUM_RETRIEVED", 10)
    item = int(evidence.store.item[0])
    moment = moment_of_item(evidence.store, item, None)
    near, weights = evidence.catalogue.taken_together(item, moment.timestamp)
    weight = dict(zip(near.tolist(), weights.tolist(), strict=True))

    found = retrieve_complements(evidence, item, moment)

    assert item not in found
    assert len(found) == 10
    told = [weight.get(place, 0.0) for place in found]
    assert told == sorted(told, reverse=True)
    assert told[0] == max(weights)


def test_orders_are_merged_by_reciprocal_ranks() -> None:
    assert merged([[1, 2, 3], [3, 1, 2]]) == [1, 3, 2]
    assert merged([[1, 2], [2, 1]]) == [1, 2]
    assert merged([[1, 2], [4]]) == [1, 4, 2]
