"""Conversations as token ids with a mask over what the assistant wrote: the only tokens that carry loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

IGNORED = -100
_PASS_TOKENS = 2048
"""About so many tokens pass together: few, so that padding is little and activations stay in the processor's cache."""


def encode_conversations(
    tokenizer: Any, conversations: Sequence[Sequence[dict[str, Any]]], tools: Sequence[dict[str, Any]]
) -> list[tuple[list[int], list[int]]]:
    """Return (token ids, labels) of each conversation as the chat template renders it.

    A label is the token itself where the assistant wrote it, and `IGNORED` elsewhere: prompts and tool answers.

    Raises:
        ValueError: a conversation has no assistant token, which also happens when the template marks none.
    """
    encoded = tokenizer.apply_chat_template(
        [list(conversation) for conversation in conversations],
        tools=list(tools) or None,
        tokenize=True,
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    rows = []
    for ids, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True):
        if 1 not in mask:
            raise ValueError("found no assistant token; expected the training template, with generation marks")
        rows.append((ids, [token if on else IGNORED for token, on in zip(ids, mask, strict=True)]))
    return rows


def padded(rows: Sequence[Sequence[int]], fill: int) -> torch.Tensor:
    """Return rows of unequal length as one int64 tensor (B, L), filled at the right."""
    array: NDArray[np.int64] = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for place, row in enumerate(rows):
        array[place, : len(row)] = row
    return torch.from_numpy(array)


def supervised_losses(model: Any, ids_BL: torch.Tensor, labels_BL: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of each token with a label, float (T,), in nats, for a causal model on a CPU.

    Nothing is computed that no loss needs: tokens without a label get no logits, and rows of like length pass together,
    each up to its last label. Padding stands at the right, where causal attention never looks: no mask is needed.
    """
    ends_B = ((labels_BL != IGNORED) * torch.arange(1, labels_BL.shape[1] + 1)).amax(dim=1)
    parts = []
    for rows in torch.split(ends_B.argsort(stable=True), max(1, _PASS_TOKENS // labels_BL.shape[1])):
        end = int(ends_B[rows[-1]])
        hidden_RLD = model.model(input_ids=ids_BL[rows, : end - 1], use_cache=False).last_hidden_state
        targets_RL = labels_BL[rows, 1:end]
        supervised_RL = targets_RL != IGNORED
        logits_TV = model.lm_head(hidden_RLD[supervised_RL])
        parts.append(torch.nn.functional.cross_entropy(logits_TV, targets_RL[supervised_RL], reduction="none"))
    return torch.cat(parts)
