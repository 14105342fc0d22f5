"""The best rankings that there are: of one who knows how the simulated store works, and of one who knows the kind too.

Bayes' order of candidates: of a set that holds one target among negatives, each is the target in proportion to the
chance that the user takes it next, times the chance that the others are then drawn as negatives. Shape suffixes: N
samples, K candidates, I items of the splits with padding, Q nodes of a quadrature.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.data.samples import SampleStore
from recops.data.shop_posterior import Posterior, Prediction
from recops.data.shop_rules import Kind, day_of
from recops.data.shop_truth import read_shop
from recops.progress import progress
from recops.records import Sample

BoundName = Literal["oracle", "oracle_given_kind"]
BOUNDS: tuple[BoundName, ...] = get_args(BoundName)

Negatives = Literal["uniform", "popularity"]
Array = NDArray[np.float64]
Scores = dict[BoundName, Array]

_QUADRATURE_NODES = 400

_Event = tuple[int, int, float | None]


class Oracle:
    """Bayes' order for the samples of one `validated_splits` of a simulated store.

    It reads what a user took before a sample, ratings included, and the truth of the store: rules, catalogue, fashion
    and orders. `oracle` has to find out what the user is led by; `oracle_given_kind` is told the kind.
    """

    def __init__(self, raw: Path, store: SampleStore) -> None:
        """Open the folder of `raw_data`.

        Raises:
            InputError: the source has no truth.
        """
        self._shop, self._store = read_shop(raw), store
        position = {item_id: index for index, item_id in enumerate(self._shop.catalogue.table["item_id"])}
        self._position_I = np.asarray([-1, *(position[item_id] for item_id in store.items["item_id"])])
        self._weights_I = np.bincount(store.item, minlength=store.num_items + 1).astype(np.float64)
        self._events = _events(raw, position)

    def scores(self, samples: list[Sample], negatives: Negatives) -> Scores:
        """Return the log-chance of each candidate to be the target, up to a constant per sample: (N, K) per bound.

        -inf where a candidate cannot be it.

        Args:
            samples: N samples, those of a user one after the other, oldest first.
            negatives: how the candidates beside the target were drawn.
        """
        shape = (len(samples), len(samples[0].candidates))
        scores: Scores = {name: np.empty(shape) for name in BOUNDS}
        kinds: list[Kind] = self._store.users["kind"].to_list()
        with progress("asking the oracle", len(samples)) as meter:
            for row, (sample, prediction) in enumerate(zip(samples, self._predictions(samples), strict=True)):
                positions_K = self._position_I[list(sample.candidates)]
                drawn_K = self._log_chance_of_negatives(sample) if negatives == "popularity" else 0.0
                taken = {"oracle": prediction.chances, "oracle_given_kind": prediction.given_kind[kinds[sample.user]]}
                for name in BOUNDS:
                    with np.errstate(divide="ignore"):  # an item that is not on sale has no chance at all
                        scores[name][row] = np.log(taken[name][positions_K]) + drawn_K
                meter.advance()
        return scores

    def _predictions(self, samples: list[Sample]) -> Iterator[Prediction]:
        """What can be known just before each sample; a user's events are read once, in order."""
        user, posterior, events = -1, Posterior(self._shop), iter(list[_Event]())
        for sample in samples:
            if sample.user != user:
                user, posterior = sample.user, Posterior(self._shop)
                events = iter(self._events[self._store.users["user_id"][user]])
            mine = (sample.timestamp, int(self._position_I[sample.target]))
            for time, item, rating in events:
                found = posterior.predict(day_of(time)) if (time, item) == mine else None
                posterior.observe(item, day_of(time), rating)
                if found:
                    yield found
                    break

    def _log_chance_of_negatives(self, sample: Sample) -> Array:
        """Log-chance that the other candidates are drawn, for each candidate as the target, up to a constant: (K,)."""
        candidates = list(sample.candidates)
        outside = np.ones(len(self._weights_I), dtype=np.bool_)
        outside[[event.item for event in sample.history]] = False
        outside[candidates] = False
        return log_chance_of_others(self._weights_I[candidates], float(self._weights_I[outside].sum()))


def log_chance_of_others(weights_K: Array, outside: float) -> Array:
    """Return, for each of K items, the log-chance that the other K - 1 are drawn first: (K,).

    Items are drawn one by one without replacement, in proportion to their weights, from the others of the K and from
    items of the total weight `outside`. With a clock of rate w for each item, the drawn ones are those that ring before
    all of the others: the integral over s of exp(-s) times the product of 1 - exp(-s w / outside) (Efraimidis and
    Spirakis 2006 use the same clocks). Exact up to the quadrature.
    """
    if outside <= 0:  # nothing else could have been drawn
        return np.zeros(len(weights_K))
    num_others = len(weights_K) - 1
    end = num_others + 12 * np.sqrt(num_others) + 40  # at most exp(-s) s ** (K - 1) in size: nothing is left beyond
    t_Q = np.linspace(0, 1, _QUADRATURE_NODES + 1)[1:]
    s_Q = end * t_Q**2  # denser where s is small, for heavy items ring at once
    log_rung_QK = np.log(-np.expm1(-s_Q[:, None] * weights_K / outside))
    exponent_QK = log_rung_QK.sum(axis=1, keepdims=True) - log_rung_QK - s_Q[:, None] + np.log(t_Q)[:, None]
    top_K = exponent_QK.max(axis=0)
    return np.asarray(top_K + np.log(np.exp(exponent_QK - top_K).sum(axis=0)), dtype=np.float64)


def _events(raw: Path, position: dict[str, int]) -> dict[str, list[_Event]]:
    """User id -> (time, position of the item, rating) of everything that the user took, oldest first."""
    table = pl.read_parquet(raw / "interactions.parquet").sort("timestamp", "row")
    items = table["item_id"].replace_strict(position, return_dtype=pl.Int64)
    events: dict[str, list[_Event]] = {}
    for user, time, item, rating in zip(table["user_id"], table["timestamp"], items, table["rating"], strict=True):
        events.setdefault(user, []).append((time, item, rating))
    return events
