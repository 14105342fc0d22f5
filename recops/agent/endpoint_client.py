"""One turn from a server that speaks the OpenAI chat protocol: asked, asked again where it may help, read strictly."""

import json
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from pydantic import BaseModel, Field, ValidationError

from recops.config.endpoint import EndpointConfig
from recops.config.variables import expand_variables
from recops.errors import InputError

_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
_NEVER = frozenset({401, 403, 404, 405})
_SHOWN = 200

Message = Mapping[str, Any]


class EndpointError(Exception):
    """A turn could not be had: says why, and how often it was tried."""


class _UnusableError(Exception):
    """An answer that another try may better; `wait` is what the server asked for, in seconds."""

    def __init__(self, problem: str, wait: float | None = None) -> None:
        super().__init__(problem)
        self.wait = wait


@dataclass(frozen=True, slots=True)
class Turn:
    """What the model wrote: a message in the form of `transformers`, its tokens, and whether they ran out."""

    message: dict[str, Any]
    num_tokens: int
    truncated: bool


class _Function(BaseModel):
    name: str
    arguments: str


class _Call(BaseModel):
    function: _Function


class _Written(BaseModel):
    content: str | None = None
    tool_calls: list[_Call] | None = None


class _Choice(BaseModel):
    message: _Written
    finish_reason: str | None = None


class _Usage(BaseModel):
    completion_tokens: int = 0


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


class EndpointClient:
    """Sends conversations to one server; threads may share it."""

    def __init__(self, config: EndpointConfig) -> None:
        self._config = config
        self.url = expand_variables(config.url, where="url").rstrip("/")
        self._model = expand_variables(config.model, where="model")
        self._headers = _headers(config.api_key_variable)
        if not self.url.startswith(("http://", "https://")):
            step = "Give what stands before /chat/completions, such as http://127.0.0.1:8000/v1."
            raise InputError("url", found=self.url, expected="an address with http:// or https://", next_step=step)

    def turn(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        temperature: float,
        max_tokens: int,
        seed: int,
    ) -> Turn:
        """Return what the model writes next.

        Raises:
            EndpointError: no usable answer after every retry, or the server refuses this conversation.
            InputError: the server refuses every conversation: wrong address, model or key.
        """
        body: dict[str, Any] = {"model": self._model, "messages": wire_messages(messages), "temperature": temperature}
        body |= {"max_completion_tokens": max_tokens, "seed": seed}
        if tools:
            body["tools"] = list(tools)
        problem = ""
        for tried in range(self._config.max_retries + 1):
            try:
                return self._asked(body)
            except _UnusableError as error:
                problem = str(error)
                wait = self._config.backoff_seconds * 2**tried if error.wait is None else error.wait
            if tried < self._config.max_retries:
                time.sleep(min(wait, self._config.timeout_seconds))
        raise EndpointError(f"{problem} ({self._config.max_retries + 1} tries)")

    def _asked(self, body: Mapping[str, Any]) -> Turn:
        try:
            response = requests.post(
                f"{self.url}/chat/completions",
                json=body,
                headers=self._headers,
                timeout=self._config.timeout_seconds,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise _UnusableError(f"{type(error).__name__}: {error}"[:_SHOWN]) from error
        if response.status_code != requests.codes.ok:
            raise self._refusal(response)
        try:
            return _read(_Completion.model_validate_json(response.content))
        except ValidationError as error:
            raise _UnusableError(f"nonsense: {response.text[:_SHOWN]!r}") from error

    def _refusal(self, response: requests.Response) -> Exception:
        problem = f"status {response.status_code}: {response.text[:_SHOWN]}"
        if response.status_code in _AGAIN:
            return _UnusableError(problem, _seconds(response.headers.get("Retry-After")))
        if response.status_code in _NEVER:
            step = "Check url, model and the variable that api_key_variable names."
            return InputError(self.url, found=problem, expected="a chat completion", next_step=step)
        return EndpointError(problem)


def wire_messages(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Return messages as the protocol has them: calls with an id and arguments as text, answers with the call's id."""
    wired: list[dict[str, Any]] = []
    open_ids: list[str] = []
    for place, message in enumerate(messages):
        plain: dict[str, Any] = {"role": message["role"], "content": message.get("content") or ""}
        calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
        if calls:
            open_ids = [f"call_{place}_{number}" for number in range(len(calls))]
            plain["tool_calls"] = [_wired_call(*pair) for pair in zip(open_ids, calls, strict=True)]
        if message["role"] == "tool":
            plain["tool_call_id"] = open_ids.pop(0)
        wired.append(plain)
    return wired


def _wired_call(call_id: str, function: Message) -> dict[str, Any]:
    # Arguments that were no object were answered with an error; sent back as they were, they break servers.
    arguments = function["arguments"] if isinstance(function["arguments"], dict) else {}
    written = {"name": function["name"], "arguments": json.dumps(arguments, ensure_ascii=False)}
    return {"id": call_id, "type": "function", "function": written}


def _read(completion: _Completion) -> Turn:
    choice, usage = completion.choices[0], completion.usage
    message: dict[str, Any] = {"role": "assistant", "content": choice.message.content or ""}
    calls = [_function(call.function) for call in choice.message.tool_calls or ()]
    if calls:
        message["tool_calls"] = [{"type": "function", "function": function} for function in calls]
    return Turn(message, usage.completion_tokens if usage else 0, choice.finish_reason == "length")


def _function(written: _Function) -> dict[str, Any]:
    """Arguments that are no JSON stay text: a mistake of the model, which its environment judges."""
    try:
        return {"name": written.name, "arguments": json.loads(written.arguments or "{}")}
    except ValueError:
        return {"name": written.name, "arguments": written.arguments}


def _headers(variable: str | None) -> dict[str, str]:
    if variable is None:
        return {}
    key = os.environ.get(variable)
    if not key:
        step = f"Set it: export {variable}=..."
        raise InputError("api_key_variable", found=f"{variable}, which is not set", expected="a key", next_step=step)
    return {"Authorization": f"Bearer {key}"}


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and retry_after.strip().isdecimal() else None
