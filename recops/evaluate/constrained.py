"""What it changes to let answers only become valid lists: the same samples, played with and without."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from recops.evaluate.episode_facts import invalid_fraction
from recops.evaluate.episode_table import episode_rank
from recops.metrics import ndcg_at_k
from recops.records import Episode

CUTOFF = 10


def constrained_answers(
    free: Mapping[str, Sequence[Episode]], constrained: Mapping[str, Sequence[Episode]]
) -> dict[str, dict[str, Any]]:
    """Return, by system and then for `free` and `constrained`, the share of invalid answers, why, and NDCG@10."""
    return {name: {"free": _facts(free[name]), "constrained": _facts(constrained[name])} for name in free}


def _facts(episodes: Sequence[Episode]) -> dict[str, Any]:
    errors = Counter(str(episode.answer.error) for episode in episodes if episode.answer.error is not None)
    return {
        "invalid_answers": invalid_fraction(episodes),
        "errors": dict(sorted(errors.items())),
        "ndcg@10": float(ndcg_at_k([episode_rank(episode) for episode in episodes], CUTOFF).mean()),
    }
