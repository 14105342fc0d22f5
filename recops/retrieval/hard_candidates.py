"""Hard candidate sets: negatives among what SASRec itself ranks highest, frozen by the stage that fits it.

`validated_splits` comes before SASRec and cannot draw them; whoever reads samples reads the embeddings too. The draw
keeps the rules of `recops.data.candidates`. Shape suffixes: S samples, C candidates, B samples of a chunk, J known
items, P items of a pool, D width.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.artifacts import read_json, write_json
from recops.data.candidate_suites import judge_candidates
from recops.data.candidates import ItemOdds, Items, Moments, candidates_sha256, draw_candidates, draw_from_pools
from recops.data.random_bits import sample_keys, text_keys
from recops.data.samples import HARD_CANDIDATES, HARD_FACTS, HARD_VALIDATION
from recops.data.taken import TakenItems
from recops.progress import progress
from recops.retrieval.batches import Sequences, flat_ranges
from recops.retrieval.sasrec import SasRec, encode_sequences
from recops.seeds import sub_seed

POOL_PER_CANDIDATE = 5
"""Negatives are drawn from so many times `num_candidates` items: the very highest alone would put SASRec's own order
upside down, for every negative would beat the target by construction."""

_CHUNK = 1024


@dataclass(frozen=True)
class HardFacts:
    """How many sets were frozen, for how many of them negatives are uniform, and the hash of all.

    Attributes:
        num_cold_targets: SASRec knows no score for the target, and among items that it knows this would give it away.
        num_without_pool: no item of the history is known, or too few items are left to be ranked.
    """

    num_samples: int
    num_cold_targets: int
    num_without_pool: int
    candidates_sha256: str


def write_hard_candidates(out: Path, splits: Path, model: SasRec, *, seed: int) -> HardFacts | None:
    """Freeze a candidate set for each sample, where the recipe asks for hard ones; else write nothing.

    Raises:
        InputError: for one of the samples there are not enough items.
        RuntimeError: a set breaks what is expected of every candidate set.
    """
    config = read_json(splits / "splits.json")["candidates"]
    if config["negatives"] != "sasrec_hard":
        return None
    tables = {
        name: pl.read_parquet(splits / f"{name}.parquet") for name in ("samples", "interactions", "users", "items")
    }
    samples, count = tables["samples"], config["num_candidates"]
    drawing = _Drawing(model, tables, seed)
    drawn_SC = np.empty((len(samples), count), dtype=np.int32)
    is_hard_S = np.zeros(len(samples), dtype=np.bool_)
    with progress("drawing hard candidates", len(samples)) as meter:
        for start in range(0, len(samples), _CHUNK):
            chunk = slice(start, start + _CHUNK)
            drawn_SC[chunk], is_hard_S[chunk] = drawing.candidates(chunk, count)
            meter.advance(len(is_hard_S[chunk]))
    warm_S = drawing.warm_S
    facts = HardFacts(
        num_samples=len(samples),
        num_cold_targets=int((~warm_S).sum()),
        num_without_pool=int((warm_S & ~is_hard_S).sum()),
        candidates_sha256=candidates_sha256(
            drawn_SC,
            users_S=samples["user"].to_numpy(),
            times_S=samples["timestamp"].to_numpy(),
            item_ids=tables["items"]["item_id"].to_list(),
        ),
    )
    frozen = samples.with_columns(pl.Series("candidates", drawn_SC, dtype=pl.Array(pl.Int32, count)))
    items_N, num_items = tables["interactions"]["item"].to_numpy(), len(tables["items"])
    suites = judge_candidates("hard_candidates", frozen, items_N=items_N, num_items=num_items, seed=seed)
    frozen.select("sample_id", "candidates").write_parquet(out / HARD_CANDIDATES)
    write_json(out / HARD_FACTS, asdict(facts))
    write_json(out / HARD_VALIDATION, {"suites": {name: suite.facts for name, suite in suites.items()}})
    return facts


class _Drawing:
    """Draws for chunks of samples; `warm_S` says whose target the model knows."""

    def __init__(self, model: SasRec, tables: dict[str, pl.DataFrame], seed: int) -> None:
        samples, rows = tables["samples"], tables["interactions"]
        self._model, self._items_N = model, rows["item"].to_numpy()
        known_I = model.known_items.numpy()
        self._known_J = np.flatnonzero(known_I)
        self._embeddings_JD = model.item_embedding.weight.detach().numpy()[self._known_J]
        self._place_I = np.cumsum(known_I) - 1
        self._is_known_N = known_I[self._items_N]
        self._known_before_N = np.append(0, np.cumsum(self._is_known_N))  # (N + 1,)
        self._known_items = self._items_N[self._is_known_N].astype(np.int64)
        self._taken = TakenItems(rows["user"].to_numpy(), self._items_N, len(tables["items"]))
        self._odds = ItemOdds(len(tables["items"]), None)
        self._moments = _moments(samples, tables["users"]["user_id"], tables["items"]["item_id"], seed)
        self.warm_S: NDArray[np.bool_] = known_I[self._moments.targets]

    def candidates(self, chunk: slice, count: int) -> tuple[Items, NDArray[np.bool_]]:
        """Return the sets (B, C) of a chunk, and which of them are hard; the others are uniform."""
        asked = self._moments.select(chunk)
        drawn_BC = draw_candidates(asked, count, odds=self._odds, taken=self._taken)
        pools_BP = self._pools(asked, min(POOL_PER_CANDIDATE * count, len(self._known_J)))
        is_hard_B = self.warm_S[chunk] & ((pools_BP > 0).sum(axis=1) >= count - 1)
        hard = np.flatnonzero(is_hard_B)
        if len(hard):
            drawn_BC[hard] = draw_from_pools(asked.select(hard), pools_BP[hard], count)
        return drawn_BC, is_hard_B

    def _pools(self, asked: Moments, size: int) -> Items:
        """Return the known items that the model ranks highest, without history and target: (B, P), 0 for none."""
        scores_BJ = self._states(asked) @ self._embeddings_JD.T
        rows, owners = flat_ranges(asked.starts, asked.ends - asked.starts)
        rows, owners = rows[self._is_known_N[rows]], owners[self._is_known_N[rows]]
        scores_BJ[owners, self._place_I[self._items_N[rows]]] = -np.inf
        warm = np.flatnonzero(self._model.known_items.numpy()[asked.targets])
        scores_BJ[warm, self._place_I[asked.targets[warm]]] = -np.inf
        scores_BJ = np.nan_to_num(scores_BJ, nan=-np.inf, neginf=-np.inf)
        top_BP = np.argpartition(-scores_BJ, size - 1, axis=1)[:, :size]
        is_left_BP = np.isfinite(np.take_along_axis(scores_BJ, top_BP, axis=1))
        return np.where(is_left_BP, self._known_J[top_BP], 0).astype(np.int32)

    def _states(self, asked: Moments) -> NDArray[np.float32]:
        """Return the state of each history, (B, D): NaN without a known item."""
        first_B, end_B = self._known_before_N[asked.starts], self._known_before_N[asked.ends]
        lengths_B = np.minimum(end_B - first_B, self._model.max_length)
        return encode_sequences(self._model, Sequences(self._known_items, end_B - lengths_B, lengths_B), _CHUNK)


def _moments(samples: pl.DataFrame, user_ids: pl.Series, item_ids: pl.Series, seed: int) -> Moments:
    users, targets, times = (samples[name].to_numpy() for name in ("user", "target", "timestamp"))
    keys = sample_keys(
        sub_seed(seed, "hard candidates"),
        user_keys_S=text_keys(user_ids)[users],
        item_keys_S=text_keys(item_ids)[targets - 1],
        times_S=times,
    )
    return Moments(keys, users, targets, samples["history_start"].to_numpy(), samples["history_end"].to_numpy())
