"""Self-attentive sequential recommender (Kang and McAuley 2018, arXiv 1808.09781), post-norm as BERT is.

Shape suffixes: B users in the batch, L positions, D width, I items (with padding: I+1), N histories. Item 0 is padding;
histories are left-padded, oldest first. Positions count from the first real item, so that padding changes nothing and
the state after a prefix is the same in training and in use. Training lives in `training`, losses in `loss`.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

from recops.artifacts import read_json, write_json
from recops.errors import InputError
from recops.retrieval.batches import Sequences, length_batches, pad_left

PADDING = 0
INITIAL_STD = 0.02
"""As BERT. The norm of the input keeps only directions, and Adam's equal steps turn short embeddings fast."""
WEIGHTS, SETTINGS = "model.safetensors", "config.json"


class Block(nn.Module):
    """Causal self-attention and a feed-forward layer, each added to its input and the sum normalised."""

    def __init__(self, width: int, num_heads: int, dropout: float) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.mix = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_BLD: Tensor, mask_B1LL: Tensor, *, num_states: int) -> Tensor:
        """Return the new states of the last `num_states` positions, shape (B, num_states, D).

        `mask_B1LL` is true where a position may look.
        """
        mixed = self.mix(self._attend(x_BLD, mask_B1LL, num_states))
        x_BLD = self.attention_norm(x_BLD[:, -num_states:] + self.dropout(mixed))
        states: Tensor = self.feed_norm(x_BLD + self.dropout(self.contract(gelu(self.expand(x_BLD)))))
        return states

    def _attend(self, x_BLD: Tensor, mask_B1LL: Tensor, num_states: int) -> Tensor:
        B, L, D = x_BLD.shape
        split = self.query_key_value(x_BLD).view(B, L, 3, self.num_heads, D // self.num_heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)
        dropout = self.dropout.p if self.training else 0.0
        query, mask_B1LL = query[:, :, -num_states:], mask_B1LL[:, :, -num_states:]
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask_B1LL, dropout_p=dropout)
        return mixed.transpose(1, 2).reshape(B, num_states, D)


class SasRec(nn.Module):
    """States of item sequences, and item embeddings that both enter and score: score = state . embedding.

    `known_items` (I+1 booleans, saved with the weights) marks the items that the model was fitted on.
    """

    known_items: Tensor

    def __init__(
        self, num_items: int, *, width: int, num_layers: int, num_heads: int, max_length: int, dropout: float
    ) -> None:
        super().__init__()
        if width % num_heads:
            step = "Change one of them in the recipe."
            expected = f"a multiple of num_heads ({num_heads})"
            raise InputError("sasrec_embeddings.width", found=width, expected=expected, next_step=step)
        self.settings = {
            "num_items": num_items,
            "width": width,
            "num_layers": num_layers,
            "num_heads": num_heads,
            "max_length": max_length,
            "dropout": dropout,
        }
        self.num_items, self.width, self.max_length = num_items, width, max_length
        self.item_embedding = nn.Embedding(num_items + 1, width, padding_idx=PADDING)
        self.position_embedding = nn.Embedding(max_length, width)
        self.blocks = nn.ModuleList(Block(width, num_heads, dropout) for _ in range(num_layers))
        self.input_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("known_items", torch.zeros(num_items + 1, dtype=torch.bool))
        self._initialise()

    def _initialise(self) -> None:
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=INITIAL_STD)
        with torch.no_grad():
            self.item_embedding.weight[PADDING] = 0.0

    def forward(self, items_BL: Tensor) -> Tensor:
        """Return the state after each position, float32, shape (B, L, D); states at padding mean nothing."""
        return self._states(items_BL, items_BL.shape[1])

    def last_state(self, items_BL: Tensor) -> Tensor:
        """Return the state after the last position, float32, shape (B, D): two thirds of the work of all states."""
        return self._states(items_BL, 1)[:, 0]

    def _states(self, items_BL: Tensor, num_states: int) -> Tensor:
        real_BL = items_BL != PADDING
        positions_BL = (real_BL.long().cumsum(dim=1) - 1).clamp(min=0)
        x_BLD = self.item_embedding(items_BL) + self.position_embedding(positions_BL)
        x_BLD, mask_B1LL = self.dropout(self.input_norm(x_BLD)), attention_mask(real_BL)
        for block in self.blocks[:-1]:
            x_BLD = block(x_BLD, mask_B1LL, num_states=x_BLD.shape[1])
        states: Tensor = self.blocks[-1](x_BLD, mask_B1LL, num_states=num_states)
        return states


def places_of(known_items_I: Tensor) -> tuple[Tensor, Tensor]:
    """Return the known items (N,), ascending, and each item's place among them, -1 if unknown, shape (I+1,)."""
    known_N = known_items_I.nonzero()[:, 0]
    place_I = torch.full_like(known_items_I, -1, dtype=torch.int64)
    place_I[known_N] = torch.arange(len(known_N), device=known_N.device)
    return known_N, place_I


def attention_mask(real_BL: Tensor) -> Tensor:
    """Return which positions each position may look at, shape (B, 1, L, L): real ones up to itself.

    A padding position looks at itself, for a row that may look nowhere becomes NaN.
    """
    length = real_BL.shape[1]
    causal_LL = torch.ones(length, length, dtype=torch.bool, device=real_BL.device).tril()
    itself_LL = torch.eye(length, dtype=torch.bool, device=real_BL.device)
    return (causal_LL & real_BL[:, None, None, :]) | itself_LL


def encode_histories(model: SasRec, histories: Sequence[Sequence[int]], batch_size: int) -> NDArray[np.float32]:
    """Return the state after each history, shape (N, D).

    Items that the model was not fitted on are left out; of the rest the last `max_length` count. A history with nothing
    left has no state: its row is NaN.
    """
    known = model.known_items.cpu().numpy()
    kept = [[item for item in history if known[item]][-model.max_length :] for history in histories]
    return encode_sequences(model, Sequences.of(kept), batch_size)


def encode_sequences(model: SasRec, sequences: Sequences, batch_size: int) -> NDArray[np.float32]:
    """Return the state after each sequence of known items, at most `max_length` each, shape (N, D); NaN where empty."""
    states_ND = np.full((len(sequences.lengths), model.width), np.nan, dtype=np.float32)
    was_training, device = model.training, model.known_items.device
    model.eval()
    with torch.inference_mode():
        for rows in length_batches(sequences.lengths, batch_size):
            items_BL = torch.from_numpy(pad_left(sequences, rows)).to(device)
            states_ND[rows] = model.last_state(items_BL).cpu().numpy()
    model.train(was_training)
    return states_ND


def save_sasrec(model: SasRec, folder: Path) -> None:
    """Write `model.safetensors` and `config.json` into an existing folder."""
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    write_json(folder / SETTINGS, model.settings)


def load_sasrec(folder: Path) -> SasRec:
    """Return the model of a folder, in evaluation mode.

    Raises:
        InputError: a file is missing, or weights and settings do not belong together.
    """
    step = "Run the stage sasrec_embeddings again."
    for name in (WEIGHTS, SETTINGS):
        if not (folder / name).is_file():
            raise InputError(folder / name, found="no file", expected="a fitted SASRec", next_step=step)
    model = SasRec(**read_json(folder / SETTINGS))
    try:
        # The tensors of the file itself, mapped into memory: the embeddings of a large catalogue are not read twice.
        model.load_state_dict(load_file(folder / WEIGHTS), assign=True)
    except Exception as error:  # safetensors and torch raise their own kinds for damaged or foreign weights
        raise InputError(folder / WEIGHTS, found=error, expected="weights of config.json", next_step=step) from error
    return model.eval()
