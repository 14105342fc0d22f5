import numpy as np
import pytest

from recops.retrieval.batches import (
    Sequences,
    flat_ranges,
    pad_left,
    shuffled_batches,
    training_prefixes,
    training_windows,
)


def test_padding_is_on_the_left() -> None:
    sequences = Sequences.of([[1, 2, 3], [4], [5, 6]])
    np.testing.assert_array_equal(pad_left(sequences, np.array([1, 2])), [[0, 4], [5, 6]])
    np.testing.assert_array_equal(pad_left(sequences, np.array([0, 1])), [[1, 2, 3], [0, 0, 4]])


@pytest.mark.parametrize("max_length", [2, 3, 100])
def test_every_item_but_a_users_first_is_a_target_once(max_length: int) -> None:
    items, users = np.arange(1, 13), np.repeat([4, 5, 9], [7, 1, 4])
    windows = training_windows(items, users, max_length)
    cut = [windows.items[s : s + n] for s, n in zip(windows.starts, windows.lengths, strict=True)]
    targets = np.concatenate([window[1:] for window in cut])
    assert sorted(targets) == [2, 3, 4, 5, 6, 7, 10, 11, 12]
    assert max(map(len, cut)) <= max_length + 1
    owner = dict(zip(items, users, strict=True))
    assert all(len({owner[item] for item in window}) == 1 for window in cut)


def test_newest_window_is_the_full_one() -> None:
    windows = training_windows(np.arange(1, 8), np.zeros(7, dtype=np.int64), 4)
    assert windows.lengths.tolist() == [5, 3]
    assert windows.starts.tolist() == [2, 0]


def test_a_prefix_is_a_target_and_all_that_fits_before_it() -> None:
    items, users = np.arange(1, 8), np.repeat([4, 5, 9], [4, 1, 2])
    prefixes = training_prefixes(items, users, 2)
    cut = [prefixes.items[s : s + n].tolist() for s, n in zip(prefixes.starts, prefixes.lengths, strict=True)]
    assert cut == [[1, 2], [1, 2, 3], [2, 3, 4], [6, 7]]


def test_an_epoch_holds_every_row_once_in_batches_of_similar_length() -> None:
    lengths = np.random.default_rng(0).integers(2, 30, 1000)
    batches = shuffled_batches(lengths, 16, np.random.default_rng(1))
    assert sorted(np.concatenate(batches)) == list(range(1000))
    assert max(map(len, batches)) == 16
    padding = sum(len(rows) * lengths[rows].max() for rows in batches) / lengths.sum() - 1
    assert padding < 0.1


def test_batches_differ_between_epochs() -> None:
    lengths = np.full(64, 3)
    one, other = (shuffled_batches(lengths, 16, np.random.default_rng(seed)) for seed in (1, 2))
    assert not np.array_equal(np.concatenate(one), np.concatenate(other))


def test_flat_ranges_name_their_owner() -> None:
    places, owner = flat_ranges(np.array([10, 3, 7]), np.array([2, 0, 3]))
    assert places.tolist() == [10, 11, 7, 8, 9]
    assert owner.tolist() == [0, 0, 2, 2, 2]
