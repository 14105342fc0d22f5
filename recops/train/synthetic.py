"""Short synthetic episodes: what the embedded policy learns to read before it has seen a real one.

A hidden preference over random candidates; each ordering tool answers a noisy view of it; the right answer is the
reciprocal-rank fusion of the views seen, the first leading as the expert has it, and with one view its copy. Pairs ask
for the MORE or the LESS likely of two. Without an ordering tool there is no view: only an answer's form can be learned.
Messages come from the functions that write real prompts; items come from the catalogue, so that its words are known.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops.agent.fusion import UNKNOWN, Source, merged, reciprocal_ranks, sources_of
from recops.agent.loops import episode_messages
from recops.agent.memory import CountTokens, history_lines
from recops.agent.prompts import prompt_messages, render_order, request_line, system_text
from recops.agent.script import opening_calls
from recops.config.agent import AgentConfig, ItemField, MergeConfig
from recops.records import Call, Direction, label
from recops.tools.habits import HABIT_WORDS, HABITS, habit_line, read_habits
from recops.tools.item_text import ItemText, rating_text
from recops.tools.toolbox import num_bytes

_NOISE = (0.4, 2.0)
"""Range of a view's noise, in standard deviations of the hidden preference."""
_UNKNOWN_PROBABILITY = 0.25
_OTHER_CALL_PROBABILITY = 0.08
_HABIT_PROBABILITY = 0.9
"""Share of the episodes with a profile in which it decides whom to ask."""
_RATINGS = (1.0, 5.0)
_LONGEST_HISTORY = 4
"""Where there is a summary, histories have up to so many times the items that the prompt shows one by one."""


View = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Candidates in order, best first, and those that the tool cannot score."""


class SyntheticEpisodes:
    """Draws episodes over a catalogue for the tools of a recipe."""

    def __init__(
        self, items: ItemText, num_items: int, agent: AgentConfig, *, count_tokens: CountTokens = num_bytes
    ) -> None:
        self._items, self._num_items, self._agent = items, num_items, agent
        self._count_tokens = count_tokens
        self._sources = sources_of(agent)
        self._opening = [name for name, _ in opening_calls(agent)]
        self._other_tools = [name for name in _OTHER_ANSWERS if name in agent.tools]

    def draw(
        self, generator: np.random.Generator, *, num_candidates: int, num_views: int, direction: Direction, history: int
    ) -> list[dict[str, Any]]:
        """Return the messages of an episode: up to `num_views` ordering calls, now and then another tool first.

        The prompt has `history` items, where `agent.memory` is a summary a seeded number, so that there is one to read.
        """
        candidates = [int(item) for item in generator.integers(1, self._num_items + 1, size=num_candidates)]
        if self._agent.memory.kind == "summary":
            history = int(generator.integers(1, _LONGEST_HISTORY * self._agent.history_length + 1))
        past = [int(item) for item in generator.integers(1, self._num_items + 1, size=history)]
        messages = self._prompt(generator, past, candidates, direction)
        rounds: list[list[Call]] = []
        rounds += [[self._call(name, generator, past, candidates)] for name in self._opening]
        if self._other_tools and generator.random() < _OTHER_CALL_PROBABILITY:
            name = self._other_tools[int(generator.integers(len(self._other_tools)))]
            rounds.append([self._call(name, generator, past, candidates)])
        chosen = self._asked(generator, rounds)[:num_views]
        views, fusion = draw_views(generator, num_candidates, len(chosen), self._agent.merge)
        calls = [_ordering(self._sources[place], view) for place, view in zip(chosen, views, strict=True)]
        if calls and self._agent.loop == "analyze_plan_act":
            # As the expert does it: some at once, then one by one.
            first = int(generator.integers(1, len(calls) + 1))
            rounds.append(calls[:first])
            calls = calls[first:]
        rounds += [[call] for call in calls]
        labels = [label(one) for one in _answer(fusion, direction, self._agent.num_ranked)]
        return [*messages, *episode_messages(self._agent.loop, rounds, labels, direction)]

    def _prompt(
        self, generator: np.random.Generator, past: Sequence[int], candidates: Sequence[int], direction: Direction
    ) -> list[dict[str, Any]]:
        agent, describe = self._agent, partial(_described, generator, self._items)
        history = history_lines(past, self._items, agent, self._count_tokens, describe=describe)
        shown = describe(candidates, agent.candidate_fields)
        count = min(agent.num_ranked, len(candidates)) if direction == "rank" else 1
        return [
            dict(message)
            for message in prompt_messages(
                request_line(direction, count),
                history=history,
                num_candidates=len(candidates),
                candidates=shown if agent.candidate_fields else [],
                system=system_text(agent),
            )
        ]

    def _asked(self, generator: np.random.Generator, rounds: Sequence[Sequence[Call]]) -> list[int]:
        """Return all sources in the order in which they are asked: mostly one that the habits told so far decide.

        Which habits call for which tools is what experts know and no catalogue tells, so the rule here is arbitrary;
        what it teaches is to read the words before a tool is chosen.
        """
        told = [word for calls in rounds for call in calls for word in read_habits(call.answer).values()]
        order = [int(place) for place in generator.permutation(len(self._sources))]
        if generator.random() >= _HABIT_PROBABILITY:
            return order
        # A word, a tool: the first word says who leads, the next who follows, and nothing has to be worked out.
        named = dict.fromkeys(HABIT_WORDS.index(word) % len(self._sources) for word in told)
        return [*named, *(place for place in order if place not in named)]

    def _call(self, name: str, generator: np.random.Generator, past: Sequence[int], candidates: Sequence[int]) -> Call:
        """A call of a tool that does not order."""
        answers = {**_OPENING_ANSWERS, **_OTHER_ANSWERS}
        arguments, answer = answers[name](generator, self._items, self._agent, past, candidates)
        return Call(name, arguments, answer, failed=False)


def _ordering(source: Source, view: View) -> Call:
    known, unknown = ([label(one) for one in part] for part in view)
    return Call(source.tool, source.arguments, render_order(known, unknown), failed=False)


def draw_views(
    generator: np.random.Generator, num_candidates: int, num_views: int, merge: MergeConfig
) -> tuple[list[View], list[int]]:
    """Return views of one hidden preference, and the candidates (0-based) by their fusion, best first.

    Without a view they are in the order of the preference, which nobody can tell.
    """
    preference = generator.normal(size=num_candidates)
    views = [_view(generator, preference) for _ in range(num_views)]
    scores = merged([view_scores(*view, merge.rank_constant) for view in views], merge) if views else preference
    return views, [int(one) for one in np.argsort(-scores, kind="stable")]


def view_scores(known: NDArray[np.int64], unknown: NDArray[np.int64], rank_constant: float) -> NDArray[np.float64]:
    """Return what one view adds to each candidate: its reciprocal rank, and for an unknown one next to nothing.

    Unknown candidates keep the order in which they are listed, for a copy has to end somehow.
    """
    ranks = np.full(len(known) + len(unknown), UNKNOWN, dtype=np.int64)
    ranks[known] = np.arange(len(known))
    scores = reciprocal_ranks(ranks, rank_constant)
    scores[unknown] = -1e-6 * np.arange(len(unknown))
    return scores


def _view(generator: np.random.Generator, preference: NDArray[np.float64]) -> View:
    """Return candidates in the order of a noisy preference, and those that the tool cannot score, in random order."""
    noise = generator.normal(size=len(preference)) * generator.uniform(*_NOISE)
    order = np.argsort(-(preference + noise))
    if generator.random() >= _UNKNOWN_PROBABILITY:
        return order, order[:0]
    is_unknown = generator.random(len(order)) < generator.uniform(0.0, 0.4)
    return order[~is_unknown], generator.permutation(order[is_unknown])


def _answer(fusion: Sequence[int], direction: Direction, num_ranked: int) -> Sequence[int]:
    if direction == "rank":
        return fusion[:num_ranked]
    return fusion[:1] if direction == "more" else fusion[-1:]


def _described(
    generator: np.random.Generator, items: ItemText, asked: Sequence[int], fields: Sequence[ItemField]
) -> list[str]:
    """A line for each item; nobody rated anything at no moment, so that ratings are drawn."""

    def text(item: int, name: ItemField) -> str:
        return rating_text(generator.uniform(*_RATINGS)) if name == "rating" else items.field(item, name)

    return [" | ".join(text(item, name) for name in fields) for item in asked]


def _history_answer(
    generator: np.random.Generator, items: ItemText, agent: AgentConfig, past: Sequence[int], candidates: Sequence[int]
) -> tuple[dict[str, Any], str]:
    limit = int(generator.integers(1, 6))
    facts = _described(generator, items, past[-limit:], agent.tool_fields)
    lines = [f"{line} | rated {generator.integers(1, 6)}" for line in facts]
    days = np.sort(generator.integers(0, 400, size=len(lines)))
    return {"limit": limit}, "\n".join(f"{line} | {day} days ago" for line, day in zip(lines, days, strict=True))


def _info_answer(
    generator: np.random.Generator, items: ItemText, agent: AgentConfig, past: Sequence[int], candidates: Sequence[int]
) -> tuple[dict[str, Any], str]:
    place = int(generator.integers(len(candidates)))
    [facts] = _described(generator, items, [candidates[place]], agent.tool_fields)
    answer = f" {label(place)} | {facts} | taken {generator.integers(0, 300)} times"
    return {"candidate": label(place)}, answer


def _groups_answer(
    generator: np.random.Generator, items: ItemText, agent: AgentConfig, past: Sequence[int], candidates: Sequence[int]
) -> tuple[dict[str, Any], str]:
    groups: dict[str, str] = {}
    for place, item in enumerate(candidates):
        name = items.field(item, "category")
        groups[name] = groups.get(name, "") + f" {label(place)}"
    return {}, "\n".join(f"{name}:{labels}" for name, labels in groups.items())


def _profile_answer(
    generator: np.random.Generator, items: ItemText, agent: AgentConfig, past: Sequence[int], candidates: Sequence[int]
) -> tuple[dict[str, Any], str]:
    words = (HABIT_WORDS[int(place)] for place in generator.integers(len(HABIT_WORDS), size=len(HABITS)))
    return {}, "\n".join(habit_line(habit, word) for habit, word in zip(HABITS, words, strict=True))


_OPENING_ANSWERS = {"get_user_profile": _profile_answer}
"""What the expert asks before any order, where it tells the user's habits."""

_OTHER_ANSWERS = {
    "get_user_history": _history_answer,
    "get_item_info": _info_answer,
    "analyze_candidates": _groups_answer,
}
"""Tools that do not order candidates: what an answer of theirs looks like."""
