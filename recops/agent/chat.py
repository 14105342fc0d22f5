"""Between messages and tokens: what the model reads, and what it wrote, exactly as TRL's tool loop does it.

Tokens that the model wrote are never decoded and encoded again: only the template's own tokens are appended to them.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_PLACE = "\N{OBJECT REPLACEMENT CHARACTER}"

Message = Mapping[str, Any]


class Chat:
    """Renders prompts and tool answers, parses turns.

    A template mostly puts texts unchanged into a fixed frame. Where it does (checked on the first text), the frame is
    rendered once and reused, for Jinja takes longer than the small model.
    """

    def __init__(self, tokenizer: Any, tools: list[dict[str, Any]]) -> None:
        from trl.chat_template_utils import parse_response

        self._tokenizer, self._tools = tokenizer, tools
        self._parse_response = parse_response
        self._frames: dict[str, list[str] | None] = {}
        self._parsed: dict[tuple[int, ...], dict[str, Any]] = {}
        self._opening = self._opening_of_a_turn()
        self._opening_is_enough: bool | None = None

    def prompts(self, conversations: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Return the tokens of each prompt, up to where the assistant begins to write."""
        texts = []
        for messages in conversations:
            key = repr(messages[:-1])

            def render(contents: Sequence[str], messages: Sequence[Message] = messages) -> str:
                return self._rendered([*messages[:-1], {**messages[-1], "content": contents[0]}], generate=True)

            texts.append(self._framed(key, [messages[-1]["content"]], render))
        return self._encoded(texts)

    def tool_turns(self, turns: Sequence[Sequence[Message]]) -> list[list[int]]:
        """Return the tokens between an assistant's end of turn and its next one, for each turn's tool messages."""
        texts = []
        for messages in turns:

            def render(contents: Sequence[str], messages: Sequence[Message] = messages) -> str:
                filled = [{**one, "content": content} for one, content in zip(messages, contents, strict=True)]
                return self._tool_turn(filled)

            key = f"tools {[message['name'] for message in messages]}"
            texts.append(self._framed(key, [message["content"] for message in messages], render))
        return self._encoded(texts)

    def parse(self, ids: list[int], prefix: list[int]) -> dict[str, Any]:
        """Return the assistant message that the model wrote, with its tool calls; a malformed call stays text.

        A parser reads the prefix from where the turn begins. Where that is enough (checked on the first turn), equal
        turns are parsed once: agents write the same calls again and again.
        """
        if self._opening_is_enough is None:
            self._opening_is_enough = self._parse(ids, self._opening) == self._parse(ids, prefix)
        if not self._opening_is_enough:
            return self._parse(ids, prefix)
        key = tuple(ids)
        if key not in self._parsed:
            self._parsed[key] = self._parse(ids, self._opening)
        return copy.deepcopy(self._parsed[key])

    def _parse(self, ids: list[int], prefix: list[int]) -> dict[str, Any]:
        message: dict[str, Any] = self._parse_response(
            self._tokenizer, ids, prefix=prefix, tools=[*self._tools] or None
        )
        return message

    def _opening_of_a_turn(self) -> list[int]:
        """Return the tokens that the template puts before what the assistant writes."""
        said: list[Message] = [{"role": "user", "content": "dummy"}]
        before, after = (self._rendered(said, generate=generate, tools=False) for generate in (False, True))
        return self._encoded([after.removeprefix(before)])[0]

    def _framed(self, key: str, contents: Sequence[str], render: Callable[[Sequence[str]], str]) -> str:
        if key not in self._frames:
            parts = render([_PLACE] * len(contents)).split(_PLACE)
            plain = len(parts) == len(contents) + 1 and _filled(parts, contents) == render(contents)
            self._frames[key] = parts if plain else None
        frame = self._frames[key]
        return render(contents) if frame is None else _filled(frame, contents)

    def _tool_turn(self, messages: Sequence[Message]) -> str:
        """Render tool messages after a dummy call, as TRL does, and keep what follows the end of the call's turn."""
        call = {"type": "function", "function": {"name": messages[0]["name"], "arguments": {}}}
        before: list[Message] = [
            {"role": "user", "content": "dummy"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ]
        prefix = self._rendered(before, generate=False, tools=False)
        full = self._rendered([*before, *messages], generate=True, tools=False)
        end = str(self._tokenizer.eos_token)
        cut = prefix.rfind(end) + len(end) if end in prefix else len(prefix)
        assert full.startswith(prefix[:cut]), "the chat template changes earlier turns: it preserves no prefix"
        return full[cut:]

    def _rendered(self, messages: Sequence[Message], *, generate: bool, tools: bool = True) -> str:
        return str(
            self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tools=(self._tools or None) if tools else None,
                add_generation_prompt=generate,
                tokenize=False,
            )
        )

    def _encoded(self, texts: list[str]) -> list[list[int]]:
        ids: list[list[int]] = self._tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        return ids


def _filled(frame: Sequence[str], contents: Sequence[str]) -> str:
    """Return the parts of a frame with a text between each two."""
    pairs = zip(frame, [*contents, ""], strict=True)
    return "".join(part + content for part, content in pairs)
