"""Prompts that ask for one label, without tools: the history and the candidates, all that an LLM baseline is shown.

A prompt is put together from tokens, not from text: a hybrid one (LLaRA) has, after the line of each item, a place
for the item's behaviour vector, which no text can spell.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recops.agent.prompts import request_line
from recops.config.agent import AgentConfig, CatalogueField
from recops.errors import InputError
from recops.records import label
from recops.tools.item_text import ItemText

HISTORY, CANDIDATES, ANSWER = "History:\n", "Candidates:\n", "Answer:"
_PLACE = "\N{OBJECT REPLACEMENT CHARACTER}"


@dataclass(frozen=True, slots=True)
class LabelPrompt:
    """Tokens of a prompt, and for each of them 0, or the item whose behaviour vector stands there instead."""

    ids: list[int]
    items: list[int]


class LabelPrompts:
    """Builds prompts whose next token is the label of a candidate: the agent's question, without tools.

    It is given items only, never a sample: what it cannot see cannot leak.
    """

    def __init__(
        self, tokenizer: Any, item_text: ItemText, *, item_fields: Sequence[CatalogueField], agent: AgentConfig
    ) -> None:
        self._tokenizer, self._item_text = tokenizer, item_text
        self._fields, self._history_length = tuple(item_fields), agent.history_length
        self._request = request_line("rank", agent.num_ranked) + "\n"
        self._known: dict[str, list[int]] = {}
        self._before, self._after = self._frame()

    def prompt(self, history: Sequence[int], candidates: Sequence[int], *, hybrid: bool) -> LabelPrompt:
        """Return the prompt for items of a history, oldest first, and candidates, labelled in their order.

        Args:
            history: items; only the last `history_length` are shown.
            candidates: items.
            hybrid: whether each item's line is followed by its behaviour vector.
        """
        built = LabelPrompt([], [])
        _append(built, [*self._before, *self._tokens(self._request), *self._tokens(HISTORY)])
        for item in history[-self._history_length :]:
            self._append_item(built, item, hybrid=hybrid)
        _append(built, self._tokens(CANDIDATES))
        for place, item in enumerate(candidates):
            # The label has a line of its own, so that the item's line is in the history and here the same tokens.
            _append(built, [self.label_token(place), *self._tokens("\n")])
            self._append_item(built, item, hybrid=hybrid)
        _append(built, self._after)
        return built

    def label_token(self, place: int) -> int:
        """Return the token of the label at a 0-based place.

        Raises:
            InputError: the tokenizer has no single token for it, so that one forward pass could not rank.
        """
        tokens = self._tokens(f" {label(place)}")
        if len(tokens) != 1:
            raise InputError(
                "llm_baselines",
                found=f"label {label(place)} in {len(tokens)} tokens",
                expected="one token per label",
                next_step="Use at most 26 candidates, or switch llara and s_dpo off with null.",
            )
        return tokens[0]

    def _append_item(self, built: LabelPrompt, item: int, *, hybrid: bool) -> None:
        _append(built, self._tokens(self._item_text.line(item, self._fields) + "\n"))
        if hybrid:
            built.ids.append(self._tokenizer.pad_token_id)
            built.items.append(item)

    def _tokens(self, text: str) -> list[int]:
        """Tokenize a part by itself, once: parts repeat in thousands of prompts."""
        if text not in self._known:
            self._known[text] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._known[text]

    def _frame(self) -> tuple[list[int], list[int]]:
        """Return what the template writes before and after the user's message, with the start of the answer."""
        messages = [{"role": "user", "content": _PLACE}]
        text = self._tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        before, _, after = str(text).partition(_PLACE)
        return self._tokens(before), self._tokens(after + ANSWER)


def _append(built: LabelPrompt, tokens: Sequence[int]) -> None:
    built.ids.extend(tokens)
    built.items.extend([0] * len(tokens))
