"""Ranks more candidates than an answer holds: an agent's windows slide over the list from its end to its top.

Each window is a task as the agent knows it; what it ranks highest moves up into the next one (RankGPT, Sun et al.
2023). An invalid answer leaves its window as it was.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recops.records import Episode, Sample, Task

Play = Callable[[Sequence[Task]], list[Episode]]
"""Plays tasks and returns an episode for each, in their order."""


@dataclass(frozen=True)
class Ranked:
    """A list as the agent left it, best first, and the episodes that did it; the last one ranked the top."""

    items: tuple[int, ...]
    episodes: tuple[Episode, ...]


def rank_in_windows(
    play: Play,
    samples: Sequence[Sample],
    lists: Sequence[Sequence[int]],
    *,
    window: int,
    step: int,
    requests: Sequence[str],
) -> list[Ranked]:
    """Return each list re-ranked.

    Args:
        play: the agent.
        samples: whose lists these are.
        lists: for each sample the items to rank, best first.
        window: most candidates of a task.
        step: by how many places a window moves up; no more than an answer names, or what it names is left behind.
        requests: for each sample what was asked for in words, empty for nothing.
    """
    orders = [list(items) for items in lists]
    starts = [window_starts(len(items), window, step) for items in lists]
    episodes: list[list[Episode]] = [[] for _ in lists]
    for turn in range(max(map(len, starts), default=0)):
        # Lists of fewer windows wait: their top comes in the last round, like everybody's.
        active = [place for place, own in enumerate(starts) if turn >= max(map(len, starts)) - len(own)]
        begins = {place: starts[place][turn - max(map(len, starts))] for place in active}
        tasks = [
            Task(
                samples[place],
                tuple(orders[place][begins[place] : begins[place] + window]),
                "rank",
                request=requests[place],
            )
            for place in active
        ]
        for place, episode in zip(active, play(tasks), strict=True):
            episodes[place].append(episode)
            named = episode.answer.ranking
            rest = [item for item in episode.task.candidates if item not in named]
            orders[place][begins[place] : begins[place] + window] = [*named, *rest]
    return [Ranked(tuple(order), tuple(played)) for order, played in zip(orders, episodes, strict=True)]


def window_starts(length: int, window: int, step: int) -> list[int]:
    """Return where windows begin, from the end of a list of `length` to its top; the last one is 0."""
    starts = list(range(max(length - window, 0), 0, -step))
    return [*starts, 0]
