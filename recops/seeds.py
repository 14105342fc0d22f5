"""Sub-seeds that do not depend on the order in which they are asked for."""

import hashlib


def sub_seed(seed: int, *names: str | int) -> int:
    """Return a seed in [0, 2**31) for the purpose that `names` spell, stable across processes and machines."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1
