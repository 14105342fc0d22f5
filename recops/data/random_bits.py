"""Random bits that depend on a key and a counter, and on nothing drawn before.

A numpy generator per sample costs 20 microseconds to start; here the bits of millions of samples are one array
expression, and each sample's bits are the same whatever else is drawn (Salmon et al. 2011, counter-based generators).
S keys of samples; arrays broadcast.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]

STEP = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, odd: successive counters lie far apart


def mix64(values: Bits) -> Bits:
    """Return values whose every bit depends on every bit of the argument's: the finalizer of SplitMix64.

    Source: Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators (2014). Arithmetic is modulo 2**64.
    """
    mixed = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def text_keys(texts: Iterable[str]) -> Bits:
    """Return a 64-bit key per text (BLAKE2b), the same on every machine and in every version of any library."""
    digests = (hashlib.blake2b(text.encode(), digest_size=8).digest() for text in texts)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def sample_keys(seed: int, *, user_keys_S: Bits, item_keys_S: Bits, times_S: NDArray[np.int64]) -> Bits:
    """Return the key of each sample's draw from what the sample is: shape (S,)."""
    keys_S = mix64(user_keys_S ^ mix64(np.full(1, seed, dtype=np.uint64) + STEP))
    keys_S = mix64(keys_S + item_keys_S)
    return mix64(keys_S ^ (times_S.astype(np.uint64) * STEP))


def bits(keys: Bits, counters: NDArray[np.int64]) -> Bits:
    """Return the bits of each key at each counter: SplitMix64, started at the key, after `counters` + 1 steps."""
    return mix64(keys + (counters.astype(np.uint64) + np.uint64(1)) * STEP)


def fractions(values: Bits) -> NDArray[np.float64]:
    """Return the highest 53 bits as a number in [0, 1), exact in float64."""
    return (values >> np.uint64(11)).astype(np.float64) * 2.0**-53
