"""Next-token logits for many sequences of different length, each with its own keys and values kept between turns.

A row of the cache is a *slot*: it holds one sequence from position 0 without padding, so that sequences may grow by
different numbers of tokens and be replaced one by one. Shapes: B slots, R rows of one call, S new tokens, T positions,
H heads, D width of a head.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

MAX_TOKENS_PER_CALL = 16_384
_GATHER_BELOW = 0.6
_LEAST_FILLED = 0.8


class SlotCache:
    """Keys and values of all layers, (B, H, T + 1, D) each; the last position takes what padding writes.

    It stands where `transformers` expects a cache: attention calls `update` once per layer.
    """

    def __init__(self, num_slots: int, num_positions: int) -> None:
        self._shape = (num_slots, num_positions + 1)
        self._layers: list[tuple[Tensor, Tensor]] = []
        self._rows: Tensor | None = None
        self._positions = torch.empty(0)
        self._length = 0

    def aim(self, rows: Tensor | None, positions_RS: Tensor, length: int) -> None:
        """Choose where the next `update`s write: rows (None for all), positions, and how many positions they return."""
        self._rows, self._positions, self._length = rows, positions_RS, length

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Store new keys and values (R, H, S, D); return those of all positions so far (R, H, T', D)."""
        if layer == len(self._layers):
            shape = (self._shape[0], keys.shape[1], self._shape[1], keys.shape[3])
            self._layers.append((keys.new_zeros(shape), values.new_zeros(shape)))
        rows = torch.arange(len(keys), device=keys.device) if self._rows is None else self._rows
        stored = self._layers[layer]
        for whole, new in zip(stored, (keys, values), strict=True):
            whole[rows[:, None], :, self._positions] = new.transpose(1, 2)
        seen = [whole[:, :, : self._length] for whole in stored]
        if self._rows is not None:
            seen = [whole.index_select(0, self._rows) for whole in seen]
        return seen[0], seen[1]

    def get_seq_length(self, _layer: int = 0) -> int:
        """How many positions attention sees; asked by models that build positions themselves."""
        return self._length

    def copy_prefix(self, source: int, rows: Tensor, length: int) -> None:
        """Copy the first positions of one slot into others."""
        for stored in self._layers:
            for whole in stored:
                # A copy, for with one slot the source is among the rows.
                whole[rows, :, :length] = whole[source, :, :length].clone()

    def copy_rows(self, sources: Tensor, rows: Tensor, start: int, end: int) -> None:
        """Copy positions of some slots into others."""
        for stored in self._layers:
            for whole in stored:
                whole[rows, :, start:end] = whole[sources, :, start:end]


class Decoder:
    """Feeds tokens to slots and returns the logits after the last one."""

    def __init__(self, model: Any, num_slots: int, num_positions: int) -> None:
        self._body, self._head = model.get_decoder(), model.get_output_embeddings()
        self._device = self._head.weight.device
        self._num_slots, self._num_positions = num_slots, num_positions
        self._cache = SlotCache(num_slots, num_positions)
        self._lengths = [0] * num_slots
        self._prefix: list[int] = []

    def keep_prefix(self, tokens: list[int]) -> None:
        """Compute a prefix that all sequences share once, in the last slot; `start` copies it."""
        self._prefix = tokens
        if tokens:
            self._lengths[-1] = 0
            self.feed([self._num_slots - 1], [tokens])

    @torch.inference_mode()
    def start(self, slots: Sequence[int]) -> None:
        """Begin new sequences that hold the prefix."""
        self._cache.copy_prefix(self._num_slots - 1, torch.tensor(slots, device=self._device), len(self._prefix))
        for slot in slots:
            self._lengths[slot] = len(self._prefix)

    @torch.inference_mode()
    def follow(self, slots: Sequence[int], sources: Sequence[int]) -> None:
        """Let slots take over what others, who held the same before, have just been fed."""
        if not slots:
            return
        start, end = min(self._lengths[slot] for slot in slots), max(self._lengths[source] for source in sources)
        rows = [torch.tensor(one, device=self._device) for one in (sources, slots)]
        self._cache.copy_rows(rows[0], rows[1], start, end)
        for slot, source in zip(slots, sources, strict=True):
            self._lengths[slot] = self._lengths[source]

    def feed(self, slots: Sequence[int], tokens: Sequence[list[int]]) -> Tensor:
        """Append tokens to slots and return the logits that follow, (len(slots), vocabulary), float32."""
        parts = _alike([len(new) for new in tokens])
        logits = [self._feed([slots[place] for place in part], [tokens[place] for place in part]) for part in parts]
        order = torch.tensor([place for part in parts for place in part], device=self._device)
        return torch.cat(logits)[order.argsort()]

    @torch.inference_mode()
    def _feed(self, slots: Sequence[int], tokens: Sequence[list[int]]) -> Tensor:
        """One pass of the model. Few rows are gathered; for many it is cheaper to carry the idle ones along."""
        gathered = len(slots) < _GATHER_BELOW * self._num_slots
        order = {slot: row for row, slot in enumerate(slots)} if gathered else {slot: slot for slot in slots}
        num_rows, most = (len(slots) if gathered else self._num_slots), max(map(len, tokens))
        ids = torch.zeros(num_rows, most, dtype=torch.long)
        places = torch.full((num_rows, most), self._num_positions)
        for slot, new in zip(slots, tokens, strict=True):
            row, start = order[slot], self._lengths[slot]
            ids[row, : len(new)] = torch.tensor(new)
            places[row, : len(new)] = torch.arange(start, start + len(new))
            self._lengths[slot] = start + len(new)
        length = max(self._lengths[slot] for slot in slots)
        rows = torch.tensor(slots, device=self._device) if gathered else None
        hidden = self._hidden(ids.to(self._device), places.to(self._device), rows, length)
        last = torch.tensor([len(new) - 1 for new in tokens], device=self._device)
        logits: Tensor = self._head(hidden[torch.tensor([order[slot] for slot in slots], device=self._device), last])
        return logits.float()

    def _hidden(self, ids_RS: Tensor, places_RS: Tensor, rows: Tensor | None, length: int) -> Tensor:
        self._cache.aim(rows, places_RS, length)
        seen = torch.arange(length, device=self._device) <= places_RS[:, None, :, None]  # (R, 1, S, T)
        out = self._body(
            input_ids=ids_RS,
            attention_mask=seen,
            position_ids=places_RS.clamp(max=self._num_positions - 1),
            past_key_values=self._cache,
            use_cache=True,
        )
        hidden: Tensor = out.last_hidden_state
        return hidden


def _alike(lengths: Sequence[int]) -> list[list[int]]:
    """Part places into calls of rows with similar lengths, longest first: padding costs as much as reading."""
    parts: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        longest = lengths[parts[-1][0]] if parts else 0
        fits = (
            parts
            and lengths[place] >= _LEAST_FILLED * longest
            and (len(parts[-1]) + 1) * longest <= MAX_TOKENS_PER_CALL
        )
        if fits:
            parts[-1].append(place)
        else:
            parts.append([place])
    return parts
