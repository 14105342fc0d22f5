import numpy as np

from recops.data.random_bits import bits, fractions, mix64, sample_keys, text_keys

SEED = 7


def key(seed: int, user_id: str, item_id: str, timestamp: int) -> int:
    times = np.array([timestamp], dtype=np.int64)
    [made] = sample_keys(seed, user_keys_S=text_keys([user_id]), item_keys_S=text_keys([item_id]), times_S=times)
    return int(made)


def test_bits_are_those_of_the_published_generator() -> None:
    # First three numbers of SplitMix64 from seed 0, as in Java's SplittableRandom.
    published = [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]
    assert bits(np.zeros(1, dtype=np.uint64), np.arange(3)).tolist() == published


def test_keys_of_texts_are_fixed_for_ever() -> None:
    # From `printf u1 | b2sum -l 64`, read with its lowest byte first.
    assert text_keys(["u1", "\u00e9"]).tolist() == [int.from_bytes(bytes.fromhex(part), "little") for part in KNOWN]


KNOWN = ("92994d683f4e6ad5", "cb1abf8beff3192f")


def test_a_samples_key_depends_on_each_of_seed_user_item_and_time() -> None:
    base = (SEED, "u", "i", 5)
    others = [(8, "u", "i", 5), (SEED, "v", "i", 5), (SEED, "u", "j", 5), (SEED, "u", "i", 6), (SEED, "i", "u", 5)]
    assert key(*base) == key(*base)
    assert len({key(*base), *(key(*other) for other in others)}) == 6


def test_one_changed_bit_of_a_key_changes_half_of_the_bits() -> None:
    values = np.arange(4096, dtype=np.uint64)
    for place in (0, 17, 63):
        changed = mix64(values) ^ mix64(values ^ np.uint64(1 << place))
        # The standard error of the mean of 4096 draws of 64 coins is .06.
        assert abs(float(np.bitwise_count(changed).mean()) - 32) < 0.5


def test_fractions_are_even_and_below_one() -> None:
    keys = sample_keys(
        SEED, user_keys_S=text_keys(["u"]), item_keys_S=text_keys(["i"]), times_S=np.arange(2000, dtype=np.int64)
    )
    drawn = fractions(bits(keys[:, None], np.arange(10)))
    counts = np.histogram(drawn, bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 43.8  # chi-square, 19 degrees, p = .001
    assert fractions(np.array([2**64 - 1], dtype=np.uint64))[0] < 1
