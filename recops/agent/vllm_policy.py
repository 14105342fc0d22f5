"""A policy that vLLM plays: the folder of a local policy, served by an engine that batches and keeps prefixes itself.

Prompts, turns and calls are read and written as for a local policy, token by token; only the sampling is vLLM's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recops.agent.chat import Chat
from recops.agent.local_policy import count_tokens_of, escaped_tokens_of, open_tokenizer, stop_ids_of
from recops.agent.lockstep import play_in_lockstep
from recops.agent.player import Player, players_of
from recops.agent.policy import Sampling
from recops.agent.prompts import tool_schemas
from recops.config.agent import AgentConfig
from recops.errors import InputError
from recops.records import Episode, Task
from recops.seeds import sub_seed
from recops.tools.toolbox import Toolbox

_SEEDS = 2**31


class VllmPolicy:
    """Plays with `vllm.LLM`, which nothing imports before a policy is opened."""

    def __init__(self, engine: Any, tokenizer: Any, stop_ids: frozenset[int], max_positions: int) -> None:
        self._engine, self._tokenizer, self._stop_ids = engine, tokenizer, stop_ids
        self._max_positions = max_positions

    @classmethod
    def load(cls, folder: Path) -> "VllmPolicy":
        """Open a policy's folder; code of others never runs, and no default of the model decides how it samples.

        Raises:
            InputError: vLLM is not installed, or the folder is no policy.
        """
        try:
            from vllm import LLM
        except ImportError as error:
            step = "Install it: pip install 'recops[vllm]' (a GPU machine), or set agent.engine to transformers."
            raise InputError("agent.engine", found="vllm", expected="vLLM installed", next_step=step) from error
        from transformers import AutoConfig, GenerationConfig

        tokenizer = open_tokenizer(folder)
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        generation = GenerationConfig.from_pretrained(folder, local_files_only=True)
        engine = LLM(model=str(folder), trust_remote_code=False, enable_prefix_caching=True, generation_config="vllm")
        return cls(engine, tokenizer, stop_ids_of(generation, tokenizer), config.max_position_embeddings)

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """Every special and added token: what no item text may spell."""
        return escaped_tokens_of(self._tokenizer)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens the model reads a text as."""
        return count_tokens_of(self._tokenizer, text)

    def episodes(
        self, tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig, sampling: Sampling
    ) -> list[Episode]:
        """Return one episode per task: see `Policy`. vLLM itself decides how many run at a time.

        Raises:
            InputError: a prompt does not fit, or answers are to be constrained, which only our own decoder does.
        """
        if sampling.constrain_answers:
            step = "Switch constrain_answers off, or set agent.engine to transformers."
            raise InputError("constrain_answers", found="vllm", expected="engine: transformers", next_step=step)
        chat = Chat(self._tokenizer, tool_schemas(agent))
        players = players_of(tasks, toolbox, agent, chat=chat, max_positions=self._max_positions)
        played = play_in_lockstep(players, chat, lambda active: self._write(active, sampling), self._stop_ids)
        if sampling.times is not None:
            sampling.times.update({player.number: player.times for player in players})
        return [rollout.episode for rollout in played]

    def _write(self, players: Sequence[Player], sampling: Sampling) -> list[list[int]]:
        prompts = [{"prompt_token_ids": player.prompt + player.written} for player in players]
        settings = [self._sampling_params(player, sampling) for player in players]
        outputs = self._engine.generate(prompts, sampling_params=settings, use_tqdm=False)
        return [list(output.outputs[0].token_ids) for output in outputs]

    def _sampling_params(self, player: Player, sampling: Sampling) -> Any:
        """Every choice spelled out: a turn of an episode has draws of its own."""
        from vllm import SamplingParams

        return SamplingParams(
            n=1,
            temperature=sampling.temperature,
            top_p=1.0,
            top_k=0,
            min_p=0.0,
            repetition_penalty=1.0,
            max_tokens=player.limit - len(player.written),
            stop_token_ids=sorted(self._stop_ids),
            seed=sub_seed(sampling.seed, "episode", player.number, len(player.written)) % _SEEDS,
            detokenize=False,
        )
