"""Sampled episodes as a person reads them: thoughts, calls, tool answers, candidates with the target marked.

Everything here is plain text; the page escapes it. The same samples are shown for every system, so that two
policies can be read side by side.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from recops.data.samples import SampleStore
from recops.evaluate.episode_table import episode_rank
from recops.evaluate.systems import Comparison, System
from recops.records import Episode, label
from recops.seeds import sub_seed
from recops.tools.sanitize import Sanitizer

_SHOWN = Sanitizer(max_characters=200)
"""What people are shown: no control characters for terminals, no direction marks for pages."""

Outcome = Literal["won", "lost", "invalid"]
TurnKind = Literal["thought", "call", "tool"]


@dataclass(frozen=True)
class Turn:
    """One piece of a conversation."""

    kind: TurnKind
    text: str


@dataclass(frozen=True)
class ShownCandidate:
    """One candidate; `place` is its place in the answer from 1, None where the answer leaves it out."""

    label: str
    title: str
    category: str
    is_target: bool
    place: int | None


@dataclass(frozen=True)
class ShownEpisode:
    """One episode of the browser; it is won when the target is ranked first. `rank` is the target's, 0-based."""

    system: str
    sample_id: int
    rank: int
    outcome: Outcome
    summary: str
    history: tuple[str, ...]
    candidates: tuple[ShownCandidate, ...]
    turns: tuple[Turn, ...]
    reward: str


def shown_positions(comparison: Comparison, num_shown: int, seed: int) -> NDArray[np.int64]:
    """Return positions of the samples to show: seeded, half of them won by the last agent where there are as many."""
    ranks_N = comparison.agents[-1].ranks
    order = np.random.default_rng(sub_seed(seed, "shown episodes")).permutation(len(ranks_N))
    won, lost = order[ranks_N[order] == 0], order[ranks_N[order] != 0]
    half = max(num_shown // 2, num_shown - len(lost))
    return np.sort(np.concatenate([won[:half], lost[: num_shown - len(won[:half])]]))


def shown_episodes(system: System, positions: NDArray[np.int64], store: SampleStore) -> list[ShownEpisode]:
    """Return a system's episodes at `positions`, ready to be read."""
    return [_shown(system.name, system.episodes[position], store) for position in positions]


def turns(messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """Return what was thought, called and answered, in order, from completion messages."""
    return tuple(turn for message in messages for turn in _turns(message))


def item_title(store: SampleStore, item: int) -> str:
    """Return an item's title as a page or a terminal may show it, or its identifier where it has none."""
    title, item_id = store.items["title"][item - 1], store.items["item_id"][item - 1]
    return _SHOWN.clean(title or "") or str(item_id)


def item_category(store: SampleStore, item: int) -> str:
    """Return an item's category, or an empty string."""
    return _SHOWN.clean(store.items["category"][item - 1] or "")


def _shown(system: str, episode: Episode, store: SampleStore) -> ShownEpisode:
    outcome, summary = _outcome(episode)
    return ShownEpisode(
        system=system,
        sample_id=episode.task.sample.sample_id,
        rank=episode_rank(episode),
        outcome=outcome,
        summary=summary,
        history=tuple(item_title(store, event.item) for event in episode.task.sample.history[-10:]),
        candidates=_candidates(episode, store),
        turns=turns(episode.messages),
        reward=f"{episode.reward:+.3f}",
    )


def _outcome(episode: Episode) -> tuple[Outcome, str]:
    if episode.answer.error is not None:
        return "invalid", f"invalid answer: {episode.answer.error.value.replace('_', ' ')}"
    rank = episode_rank(episode)
    if rank >= len(episode.answer.ranking):
        return "lost", "target not in the answer"
    return ("won" if rank == 0 else "lost"), f"target at place {rank + 1}"


def _candidates(episode: Episode, store: SampleStore) -> tuple[ShownCandidate, ...]:
    place = {item: number for number, item in enumerate(episode.answer.ranking, start=1)}
    return tuple(
        ShownCandidate(
            label=label(position),
            title=item_title(store, item),
            category=item_category(store, item),
            is_target=item == episode.task.sample.target,
            place=place.get(item),
        )
        for position, item in enumerate(episode.task.candidates)
    )


def _turns(message: Mapping[str, Any]) -> list[Turn]:
    if message["role"] == "tool":
        return [Turn("tool", str(message["content"]).strip())]
    text = str(message.get("content") or "").strip()
    said = [Turn("thought", text)] if text else []
    return [*said, *(Turn("call", _call_text(call)) for call in message.get("tool_calls") or [])]


def _call_text(call: Mapping[str, Any]) -> str:
    function = call.get("function", call)
    arguments = function.get("arguments") or {}
    if isinstance(arguments, Mapping):
        listed = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in arguments.items())
    else:
        listed = str(arguments)
    return f"{function['name']}({listed})"
