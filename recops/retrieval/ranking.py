"""Ranks of targets in the whole catalogue: what stops the fit early, and what the benchmark reports.

Shape suffixes: H targets, C targets in a chunk, D width, N known items, I+1 items, S seen items of a chunk.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops.metrics import ABSENT, ndcg_at_k
from recops.retrieval.batches import flat_ranges
from recops.retrieval.fit_data import HeldOut
from recops.retrieval.sasrec import SasRec, encode_sequences, places_of

_SCORES_PER_CHUNK = 2**21
"""Scores of so many pairs at a time: 8 MB, which stay in the cache between the product and the count."""
_SEQUENCES_PER_BATCH = 512


def held_out_ndcg(model: SasRec, held_out: HeldOut) -> float:
    """Return the mean NDCG@10 of the held-out targets among all known items that the user has not taken before."""
    return float(ndcg_at_k(held_out_ranks(model, held_out), 10).mean())


def held_out_ranks(model: SasRec, held_out: HeldOut) -> NDArray[np.int64]:
    """Return the 0-based rank of each held-out target, shape (H,); ties count against it.

    A target that the model does not know, that the user has taken before, or whose history has no known item is
    `ABSENT`: the model cannot rank it.
    """
    states_HD = encode_sequences(model, held_out.histories, _SEQUENCES_PER_BATCH)
    return ranks_of_states(states_HD, model.item_embedding.weight.detach(), model.known_items, held_out)


def ranks_of_states(
    states_HD: NDArray[np.float32], embeddings_ID: Tensor, known_items_I: Tensor, held_out: HeldOut
) -> NDArray[np.int64]:
    """Return the ranks as `held_out_ranks` does, from states and embeddings; a state of NaN ranks nothing."""
    known_N, place_I = places_of(known_items_I)
    catalogue_ND = embeddings_ID[known_N]
    size = max(1, _SCORES_PER_CHUNK // len(known_N))
    chunks = [slice(start, start + size) for start in range(0, len(states_HD), size)]
    with torch.inference_mode():
        ranks = [_ranks(torch.from_numpy(states_HD[chunk]), catalogue_ND, place_I, held_out, chunk) for chunk in chunks]
    return np.concatenate(ranks)


def _ranks(
    states_CD: Tensor, catalogue_ND: Tensor, place_I: Tensor, held_out: HeldOut, chunk: slice
) -> NDArray[np.int64]:
    device = catalogue_ND.device
    scores_CN = states_CD.to(device) @ catalogue_ND.T
    rows, owner = flat_ranges(held_out.seen.starts[chunk], held_out.seen.lengths[chunk])
    seen_S = place_I[torch.from_numpy(held_out.seen.items[rows]).to(device)]
    owner_S = torch.from_numpy(owner).to(device)
    scores_CN[owner_S[seen_S >= 0], seen_S[seen_S >= 0]] = -torch.inf
    target_C = place_I[torch.from_numpy(held_out.targets[chunk]).to(device)]
    target_C1 = scores_CN.gather(1, target_C.clamp(min=0)[:, None])
    ranks_C = (scores_CN >= target_C1).sum(dim=1, dtype=torch.int32).long() - 1  # half the time of a sum in int64
    rankable_C = (target_C >= 0) & target_C1[:, 0].isfinite()
    return torch.where(rankable_C, ranks_C, ABSENT).cpu().numpy()
