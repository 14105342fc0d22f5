"""A fitted SASRec on newer data: the same weights, its items and users in the places that they have there.

What a model knew stays what it knew: items that are new to it are unknown, as cold items always are, and users that are
new to it are nobody's neighbours. Shape suffixes: I items of the newer catalogue (with padding: I+1), D width.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from recops.artifacts import read_json
from recops.errors import InputError
from recops.retrieval.embeddings import SEARCH, USER_EMBEDDINGS, catalogue_sha256, load_user_states, write_search
from recops.retrieval.sasrec import PADDING, SasRec, load_sasrec, save_sasrec


def transplant_sasrec(fitted: Path, *, splits: Path, newer: Path, out: Path) -> None:
    """Write a folder that `Evidence` opens beside newer splits.

    Args:
        fitted: folder of `sasrec_embeddings`.
        splits: folder of the `validated_splits` that it was fitted on.
        newer: folder of other `validated_splits`, with some of the same users and items.
        out: an existing folder.

    Raises:
        InputError: a file is missing or damaged, or the newer data has none of the items that the model knows.
    """
    old_items, new_items = (pl.read_parquet(folder / "items.parquet")["item_id"] for folder in (splits, newer))
    states = load_user_states(fitted, old_items, splits=splits)
    model = _moved(load_sasrec(fitted), places(old_items, new_items))
    if not model.known_items.any():
        step = "Take data of the same shop."
        raise InputError(newer, found="no item that the model knows", expected="some of its items", next_step=step)
    save_sasrec(model, out)
    _write_users(fitted, splits, newer, out)
    write_search(
        out,
        catalogue=catalogue_sha256(new_items),
        exact_search_max_users=states.exact_search_max,
        similar_users_recall=read_json(fitted / SEARCH)["similar_users_recall"],
    )


def places(old_ids: pl.Series, new_ids: pl.Series) -> NDArray[np.int64]:
    """Return for each new id its 0-based place among the old ones, -1 where it is new."""
    old = pl.DataFrame({"id": old_ids, "place": np.arange(len(old_ids), dtype=np.int64)})
    joined = pl.DataFrame({"id": new_ids}).join(old, on="id", how="left", maintain_order="left")
    return joined["place"].fill_null(-1).to_numpy()


def _moved(model: SasRec, place_I: NDArray[np.int64]) -> SasRec:
    settings: dict[str, Any] = {**model.settings, "num_items": len(place_I)}
    moved = SasRec(**settings)
    weights = model.state_dict()
    old_I1 = torch.from_numpy(np.concatenate([[PADDING], place_I + 1]))  # 0, padding, where an item is new
    weights["item_embedding.weight"] = weights["item_embedding.weight"][old_I1]
    weights["known_items"] = weights["known_items"][old_I1] & (old_I1 != PADDING)
    moved.load_state_dict(weights)
    return moved.eval()


def _write_users(fitted: Path, splits: Path, newer: Path, out: Path) -> None:
    """Write the states of the users that the newer data has, under their places there, ascending."""
    old_ids, new_ids = (pl.read_parquet(folder / "users.parquet")["user_id"] for folder in (splits, newer))
    moves = pl.DataFrame({"user": places(new_ids, old_ids), "old": np.arange(len(old_ids))}).cast(pl.Int32)
    table = pl.read_parquet(fitted / USER_EMBEDDINGS).rename({"user": "old"})
    kept = table.join(moves.filter(pl.col("user") >= 0), on="old").select("user", "embedding").sort("user")
    if kept.is_empty():
        step = "Take data of the same shop."
        raise InputError(newer, found="no user that the model knows", expected="some of its users", next_step=step)
    kept.write_parquet(out / USER_EMBEDDINGS)
