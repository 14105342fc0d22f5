import numpy as np

from recops.retrieval.counts import CatalogueCounts, EventCounts


def test_counts_equal_a_scan_and_leave_out_the_moment_itself() -> None:
    generator = np.random.default_rng(0)
    items, times = generator.integers(1, 8, 300).astype(np.int32), generator.integers(-20, 20, 300)
    counts, asked = EventCounts(items, times), np.arange(1, 10)
    for moment in (-30, -20, -3, 0, 19, 20, 99):
        expected = [((items == item) & (times < moment)).sum() for item in asked]
        np.testing.assert_array_equal(counts.before(asked, moment), expected)
        since = [((items == item) & (times >= moment - 7) & (times < moment)).sum() for item in asked]
        np.testing.assert_array_equal(counts.within(asked, moment - 7, moment), since)


def test_counts_of_the_whole_catalogue_are_those_of_each_item() -> None:
    generator = np.random.default_rng(5)
    items, times = generator.integers(1, 8, 300).astype(np.int32), generator.integers(0, 40, 300)
    moments = np.array([17, 0, 40, 17, 3, 99])
    one, whole = EventCounts(items, times), CatalogueCounts(items, times, 9).before(moments)
    assert whole.shape == (6, 10)
    for row, moment in enumerate(moments.tolist()):
        assert whole[row, 1:].tolist() == one.before(np.arange(1, 10), moment).tolist()
