"""A policy behind an endpoint: plays whole conversations, several at a time, and marks those that it could not have."""

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed

from recops import interrupt
from recops.agent.answer import invalid
from recops.agent.conversation import Conversation
from recops.agent.endpoint_client import EndpointClient, EndpointError
from recops.agent.environment import environments_of
from recops.agent.policy import Sampling
from recops.agent.prompts import task_messages, tool_schemas
from recops.config.agent import AgentConfig
from recops.config.endpoint import EndpointConfig
from recops.errors import InputError, UnavailableError
from recops.progress import progress
from recops.records import AnswerError, Episode, Task
from recops.seeds import sub_seed
from recops.tools.toolbox import Toolbox, num_bytes

_SEEDS = 2**31


class EndpointPolicy:
    """Plays through the OpenAI chat protocol. What it writes is not ours to repeat: episodes may differ between runs.

    The number of tokens of an episode is what the server says that the model wrote; answers of tools are not in it.
    """

    def __init__(self, config: EndpointConfig) -> None:
        self._config, self._client = config, EndpointClient(config)

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """What the recipe says of the tokenizer, which cannot be seen from here."""
        return self._config.control_tokens

    def count_tokens(self, text: str) -> int:
        """Return an upper bound on the tokens of a text: the tokenizer cannot be seen from here."""
        return num_bytes(text)

    def episodes(
        self, tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig, sampling: Sampling
    ) -> list[Episode]:
        """Return one episode per task; where the endpoint failed, the episode is marked as such.

        Raises:
            UnavailableError: more episodes failed than the recipe allows.
            InputError: the server refuses all of them, or answers are to be constrained, which the protocol cannot.
        """
        if sampling.constrain_answers:
            step = "Switch constrain_answers off for it."
            raise InputError("constrain_answers", found="an endpoint", expected="a local policy", next_step=step)
        episodes: dict[int, Episode] = {}
        failures: list[str] = []
        with (
            ThreadPoolExecutor(min(sampling.batch_size, self._config.concurrency)) as pool,
            progress(f"Episodes at {self._client.url}", len(tasks)) as meter,
        ):
            running = self._start(pool, tasks, toolbox, agent, sampling)
            try:
                for future in as_completed(running):
                    interrupt.stop_if_requested()
                    episodes[running[future]], failure = future.result()
                    failures += [failure] if failure else []
                    self._check(failures, len(tasks))
                    meter.advance()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        return [episodes[place] for place in range(len(tasks))]

    def _start(
        self, pool: ThreadPoolExecutor, tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig, sampling: Sampling
    ) -> dict[Future[tuple[Episode, str | None]], int]:
        started = {}
        for place, environment in enumerate(environments_of(tasks, toolbox, agent)):
            prompt = task_messages(tasks[place], toolbox, agent)
            started[pool.submit(self._played, Conversation(place, environment), prompt, agent, sampling)] = place
        return started

    def _played(
        self, conversation: Conversation, prompt: list[dict[str, str]], agent: AgentConfig, sampling: Sampling
    ) -> tuple[Episode, str | None]:
        """Play one episode; return it with the reason why the endpoint failed, if it did."""
        seed = sub_seed(sampling.seed, "episode", conversation.number) % _SEEDS
        tools, num_tokens, failure = tool_schemas(agent), 0, None
        conversation.begin()
        try:
            for _ in range(agent.max_calls + 1):
                left = agent.max_completion_tokens - num_tokens
                messages = [*prompt, *conversation.messages]
                turn = self._client.turn(messages, tools, temperature=sampling.temperature, max_tokens=left, seed=seed)
                num_tokens += turn.num_tokens
                conversation.messages += conversation.close_turn(turn.message)
                conversation.truncated = turn.truncated or num_tokens >= agent.max_completion_tokens
                if conversation.done or conversation.truncated:
                    break
        except EndpointError as error:
            conversation.truncated, failure = True, str(error)
        episode = conversation.environment.finish(
            conversation.messages, truncated=conversation.truncated, num_completion_tokens=num_tokens
        )
        if sampling.times is not None:
            sampling.times[conversation.number] = conversation.times
        if failure is not None:
            episode = dataclasses.replace(episode, answer=invalid(AnswerError.ENDPOINT_FAILED))
        return episode, failure

    def _check(self, failures: Sequence[str], num_tasks: int) -> None:
        """Stop as soon as the share of failures can no longer stay below the recipe's."""
        if len(failures) > self._config.max_failed_fraction * num_tasks:
            raise UnavailableError(
                self._client.url,
                found=f"{len(failures)} of {num_tasks} episodes without an answer, the last: {failures[-1]}",
                expected=f"at most {self._config.max_failed_fraction:.0%}, the recipe's max_failed_fraction",
                next_step="Look at the server; raise timeout_seconds, max_retries or backoff_seconds.",
            )
