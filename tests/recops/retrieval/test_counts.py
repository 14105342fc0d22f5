import numpy as np

from recops.retrieval.counts import CatalogueCounts, EventCounts, EventWeights, by_item


def test_counts_and_weights_equal_a_scan_and_leave_out_the_moment_itself() -> None:
    generator = np.random.default_rng(0)
    items, times = generator.integers(1, 8, 300).astype(np.int32), generator.integers(-20, 20, 300)
    weights = generator.choice(np.array([0.1, 0.7, 3.0], dtype=np.float32), 300)
    counts, asked = EventCounts(items, times), np.arange(1, 10)
    weighed = EventWeights(counts, by_item(items, times), weights)
    for moment in (-30, -20, -3, 0, 19, 20, 99):
        before = [(items == item) & (times < moment) for item in asked]
        np.testing.assert_array_equal(counts.before(asked, moment), [one.sum() for one in before])
        sums = [weights[one].sum(dtype=float) for one in before]
        np.testing.assert_allclose(weighed.before(asked, moment), sums, atol=1e-6)
        since = [one & (times >= moment - 7) for one in before]
        np.testing.assert_array_equal(counts.within(asked, moment - 7, moment), [one.sum() for one in since])
        sums = [weights[one].sum(dtype=float) for one in since]
        np.testing.assert_allclose(weighed.within(asked, moment - 7, moment), sums, atol=1e-6)


def test_equal_events_weigh_equally_whatever_stands_before_them() -> None:
    """A difference of running sums is off in its last digits, and would put an order where there is a tie."""
    items, asked = np.repeat(np.arange(1, 51, dtype=np.int32), 3), np.arange(1, 51)
    times, weights = np.tile(np.arange(3), 50), np.full(150, 0.1, dtype=np.float32)
    one = EventWeights(EventCounts(items, times), by_item(items, times), weights)
    whole = CatalogueCounts(items, times, 50, weights_E=weights)
    assert set(one.before(asked, 9).tolist()) == {0.3}
    assert set(one.within(asked, 1, 9).tolist()) == {0.2}
    assert set(whole.before(np.array([9]))[0, 1:].tolist()) == {0.3}
    assert set(whole.within(np.array([1]), np.array([9]))[0, 1:].tolist()) == {0.2}


def test_counts_of_the_whole_catalogue_are_those_of_each_item() -> None:
    generator = np.random.default_rng(5)
    items, times = generator.integers(1, 8, 300).astype(np.int32), generator.integers(0, 40, 300)
    weights = generator.choice(np.array([0.5, 1.0], dtype=np.float32), 300)
    moments, asked = np.array([17, 0, 40, 17, 3, 99]), np.arange(1, 10)
    counts = EventCounts(items, times)
    for one, weights_E in ((counts, None), (EventWeights(counts, by_item(items, times), weights), weights)):
        whole = CatalogueCounts(items, times, 9, weights_E=weights_E)
        assert whole.before(moments).shape == (6, 10)
        for row, moment in enumerate(moments.tolist()):
            assert whole.before(moments)[row, 1:].tolist() == one.before(asked, moment).tolist()
            assert (
                whole.within(moments - 5, moments)[row, 1:].tolist() == one.within(asked, moment - 5, moment).tolist()
            )
