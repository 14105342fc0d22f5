"""Item and user embeddings of a fitted SASRec as tables, and the check that they have not collapsed.

Shape suffixes: N vectors, D width, U users.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.artifacts import content_sha256, read_json, write_json
from recops.errors import InputError
from recops.retrieval.batches import Sequences
from recops.retrieval.fit_data import FitRows
from recops.retrieval.sasrec import SasRec, encode_sequences

ITEM_EMBEDDINGS, USER_EMBEDDINGS, SEARCH = "item_embeddings.parquet", "user_embeddings.parquet", "search.json"
MAX_MEAN_COSINE = 0.999
MIN_EFFECTIVE_RANK = 2.0
"""One direction for all items (a mean cosine near 1, an effective rank near 1) ranks by popularity at best."""


@dataclass(frozen=True, slots=True)
class UserStates:
    """Users (U,), ascending, and their states after their last `tool_fit` interaction (U, D).

    Up to `exact_search_max` of them are searched exactly.
    """

    users: NDArray[np.int64]
    vectors: NDArray[np.float32]
    exact_search_max: int


@dataclass(frozen=True)
class EmbeddingFacts:
    """Geometry of the known items' embeddings, and how many users have a state."""

    mean_cosine: float
    effective_rank: float
    num_users: int


def write_embeddings(out: Path, model: SasRec, rows: FitRows, batch_size: int) -> EmbeddingFacts:
    """Write embeddings of the items that occur in `rows`, and states of its users after their last row.

    Raises:
        InputError: an embedding is not finite, or they have collapsed.
    """
    items = np.flatnonzero(model.known_items.numpy())
    vectors_ND = model.item_embedding.weight.detach().numpy()[items]
    users_U, starts_U, counts_U = np.unique(rows.users, return_index=True, return_counts=True)
    lengths_U = np.minimum(counts_U, model.max_length)
    states_UD = encode_sequences(model, Sequences(rows.items, starts_U + counts_U - lengths_U, lengths_U), batch_size)
    _write(out / ITEM_EMBEDDINGS, "item", items, vectors_ND)
    _write(out / USER_EMBEDDINGS, "user", users_U, states_UD)
    check_embeddings(vectors_ND, "item embeddings")
    check_embeddings(states_UD, "user states")
    return EmbeddingFacts(mean_cosine(vectors_ND), effective_rank(vectors_ND), len(users_U))


def catalogue_sha256(item_ids: pl.Series) -> str:
    """Return what tells one catalogue from another: the hash of its item ids in their order."""
    return content_sha256(item_ids.to_list())


def write_search(out: Path, *, catalogue: str, exact_search_max_users: int, similar_users_recall: float) -> None:
    """Write how users are searched, and to which catalogue (`catalogue_sha256`) the embeddings belong."""
    facts = {
        "catalogue_sha256": catalogue,
        "exact_search_max_users": exact_search_max_users,
        "similar_users_recall": similar_users_recall,
    }
    write_json(out / SEARCH, facts)


def load_user_states(folder: Path, item_ids: pl.Series, *, splits: Path) -> UserStates:
    """Read the states of users, for the catalogue whose ids are given and come from `splits`.

    Raises:
        InputError: a file is missing, or the embeddings are of another catalogue.
    """
    step = "Run the stage sasrec_embeddings again."
    for name in (USER_EMBEDDINGS, SEARCH):
        if not (folder / name).is_file():
            raise InputError(folder / name, found="no file", expected="states of users", next_step=step)
    facts, expected = read_json(folder / SEARCH), catalogue_sha256(item_ids)
    if facts["catalogue_sha256"] != expected:
        found = f"embeddings of catalogue {facts['catalogue_sha256'][:12]}"
        raise InputError(folder, found=found, expected=f"{expected[:12]}, the items of {splits}", next_step=step)
    return read_user_states(folder, facts["exact_search_max_users"])


def read_user_states(folder: Path, exact_search_max_users: int) -> UserStates:
    """Read what `write_embeddings` wrote about users."""
    table = pl.read_parquet(folder / USER_EMBEDDINGS).sort("user")
    vectors = table["embedding"].list.to_array(len(table["embedding"][0])).to_numpy()
    return UserStates(table["user"].to_numpy().astype(np.int64), vectors.astype(np.float32), exact_search_max_users)


def check_embeddings(vectors_ND: NDArray[np.float32], where: str) -> None:
    """Check that vectors are finite and point in more than one direction.

    Raises:
        InputError: they do not.
    """
    step = "Lower sasrec_embeddings.learning_rate or dropout."
    if not np.isfinite(vectors_ND).all():
        found = f"{int((~np.isfinite(vectors_ND)).any(axis=1).sum())} vectors that are not finite"
        raise InputError(f"SASRec, {where}", found=found, expected="finite numbers", next_step=step)
    cosine, rank = mean_cosine(vectors_ND), effective_rank(vectors_ND)
    if len(vectors_ND) > 2 and (cosine > MAX_MEAN_COSINE or rank < MIN_EFFECTIVE_RANK):
        found = f"mean cosine {cosine:.3f}, effective rank {rank:.2f}: collapsed"
        expected = f"at most {MAX_MEAN_COSINE} and at least {MIN_EFFECTIVE_RANK}"
        raise InputError(f"SASRec, {where}", found=found, expected=expected, next_step=step)


def mean_cosine(vectors_ND: NDArray[np.float32]) -> float:
    """Return the mean cosine of all pairs of different vectors, in [-1, 1]; a zero vector has cosine 0 to all."""
    norms = np.linalg.norm(vectors_ND.astype(np.float64), axis=1, keepdims=True)
    unit_ND = vectors_ND / np.where(norms > 0, norms, 1.0)
    num, total = len(unit_ND), float(np.square(unit_ND.sum(axis=0)).sum())
    return (total - float(np.square(unit_ND).sum())) / max(num * (num - 1), 1)


def effective_rank(vectors_ND: NDArray[np.float32]) -> float:
    """Return exp(entropy of the normalised singular values), in [1, D] (Roy and Vetterli 2007); 0 for zero vectors."""
    values_D = np.linalg.svd(vectors_ND.astype(np.float64), compute_uv=False)
    if not values_D.sum():
        return 0.0
    shares = values_D[values_D > 0] / values_D.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))


def _write(path: Path, key: str, keys: NDArray[np.int64], vectors_ND: NDArray[np.float32]) -> None:
    width = vectors_ND.shape[1]
    embedding = pl.Series("embedding", vectors_ND, dtype=pl.Array(pl.Float32, width)).cast(pl.List(pl.Float32))
    pl.DataFrame({key: keys.astype(np.int32), "embedding": embedding}).write_parquet(path)
