import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recops.data.taken import TakenItems

NUM_ITEMS = 6
EVENTS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, NUM_ITEMS)), min_size=1, max_size=40).map(
    lambda events: sorted(events, key=lambda event: event[0])
)


@given(EVENTS)
def test_an_item_is_taken_exactly_if_an_earlier_row_of_the_user_has_it(events: list[tuple[int, int]]) -> None:
    users, items = (np.array(column, dtype=np.int32) for column in zip(*events, strict=True))
    taken = TakenItems(users, items, NUM_ITEMS)
    for end, user in enumerate(users):
        own = items[:end][users[:end] == user]
        asked = np.arange(1, NUM_ITEMS + 1, dtype=np.int32)
        found = taken.holds(users[end : end + 1], asked, np.array([end]))
        assert found.tolist() == [item in own for item in asked]
        assert taken.is_first[end] == (items[end] not in own)
        start = np.searchsorted(users, user)
        assert taken.num_different(np.array([start]), np.array([end])).tolist() == [len(set(own.tolist()))]


def test_no_item_and_an_unknown_user_are_never_taken() -> None:
    taken = TakenItems(np.array([0, 0], np.int32), np.array([2, 6], np.int32), NUM_ITEMS)
    asked = np.array([0, 9], np.int32), np.array([0, 6], np.int32)
    assert taken.holds(*asked, np.array([2, 2])).tolist() == [False, False]
