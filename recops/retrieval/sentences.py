"""Sentence embeddings of what is written about items, by a pretrained model in a local folder.

The model is loaded as `transformers` knows it: safetensors only, no code from the folder, nothing fetched. Shape
suffixes: B texts in a batch, L tokens, D width, C samples, J = I + 1 rows for the items with padding (row i is item i).
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from torch import Tensor

from recops.errors import InputError
from recops.progress import progress
from recops.retrieval.text import item_texts

WEIGHTS = "model.safetensors"


class SentenceIndex:
    """Unit vectors of the items' texts; items without a text have none."""

    def __init__(self, vectors_JD: NDArray[np.float32], has_text_J: NDArray[np.bool_]) -> None:
        self._vectors_JD, self._has_text_J = vectors_JD, has_text_J

    @classmethod
    def encode(cls, items: pl.DataFrame, folder: Path, *, batch_size: int, max_tokens: int) -> "SentenceIndex":
        """Embed the texts of all items with the model of `folder`: mean of the last states of a text's tokens.

        Raises:
            InputError: the folder holds no model with safetensors weights, or it cannot be loaded.
        """
        texts = item_texts(items)
        tokenizer, model = _load(folder)
        vectors_JD = np.zeros((len(texts) + 1, model.config.hidden_size), dtype=np.float32)
        has_text_J = np.zeros(len(texts) + 1, dtype=np.bool_)
        # Texts of like length share a batch; the texts alone decide the order, so that equal data gives equal bytes.
        order = sorted((place for place, text in enumerate(texts) if text.strip()), key=lambda place: len(texts[place]))
        with torch.inference_mode(), progress("embedding the items' texts", len(order)) as meter:
            for start in range(0, len(order), batch_size):
                places = np.asarray(order[start : start + batch_size])
                batch = tokenizer(
                    [texts[place] for place in places],
                    padding=True,
                    truncation=True,
                    max_length=max_tokens,
                    return_tensors="pt",
                )
                states_BLD, mask_BL = model(**batch).last_hidden_state, batch["attention_mask"]
                vectors_JD[places + 1] = _mean_pooled(states_BLD, mask_BL).numpy()
                has_text_J[places + 1] = mask_BL.any(dim=1).numpy()
                meter.advance(len(places))
        return cls(vectors_JD, has_text_J)

    def scores(self, weights_CJ: csr_matrix) -> NDArray[np.float64]:
        """Return the weighted mean cosine of every item to the history, shape (C, J).

        NaN where the item, or the whole history, has no text.
        """
        weights = weights_CJ.multiply(self._has_text_J[None, :]).tocsr()
        totals_C1 = np.asarray(weights.sum(axis=1))
        profiles_CD = (weights @ self._vectors_JD) / np.maximum(totals_C1, np.finfo(np.float64).tiny)
        cosines_CJ = np.asarray(profiles_CD, dtype=np.float64) @ self._vectors_JD.T.astype(np.float64)
        known_CJ = self._has_text_J[None, :] & (totals_C1 > 0)
        return np.where(known_CJ, cosines_CJ, np.nan)


def _mean_pooled(states_BLD: Tensor, mask_BL: Tensor) -> Tensor:
    """Return the unit vector of the mean state over real tokens, shape (B, D)."""
    weights_BL1 = mask_BL.unsqueeze(-1).to(states_BLD.dtype)
    means_BD = (states_BLD * weights_BL1).sum(dim=1) / weights_BL1.sum(dim=1).clamp(min=1.0)
    return torch.nn.functional.normalize(means_BD, dim=-1)


def _load(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel, AutoTokenizer

    step = "Give a folder that holds config.json, model.safetensors and a tokenizer, or sentence_model: null."
    if not (folder / WEIGHTS).is_file():
        raise InputError(folder, found=f"no {WEIGHTS}", expected="a sentence model", next_step=step)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model = AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32
        )
    except Exception as error:  # transformers, tokenizers and safetensors each raise their own kinds for damaged files
        raise InputError(folder, found=error, expected="a sentence model", next_step=step) from error
    return tokenizer, model.eval()
