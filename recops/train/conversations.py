"""Conversations as token ids with a mask over what the assistant wrote: the only tokens that carry loss."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

IGNORED = -100


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
