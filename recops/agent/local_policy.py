"""A policy in this process: a causal language model with its tokenizer and chat template, on one device."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recops.agent.policy import Sampling
from recops.agent.slots import play_in_slots
from recops.config.agent import AgentConfig
from recops.errors import InputError
from recops.records import Episode, Task
from recops.tools.toolbox import Toolbox


@dataclass(frozen=True)
class LocalPolicy:
    """Model and tokenizer of `transformers`, as a folder holds them or as a trainer is training them.

    `autocast` says whether the model computes in bfloat16 whatever its weights are, as a trainer makes it do.
    """

    model: Any
    tokenizer: Any
    autocast: bool = False

    @classmethod
    def load(cls, folder: Path) -> "LocalPolicy":
        """Open a policy's folder; weights are safetensors, code of others never runs, nothing is downloaded.

        Raises:
            InputError: the folder is no policy, or its chat template is one whose tool calls TRL cannot parse.
        """
        import torch
        from transformers import AutoModelForCausalLM

        tokenizer = open_tokenizer(folder)
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder,
                use_safetensors=True,
                dtype="auto",
                attn_implementation="sdpa",
                local_files_only=True,
                trust_remote_code=False,
            )
        except OSError as error:
            step = "Save the policy with safe_serialization=True."
            raise InputError(folder, found=str(error), expected="weights as safetensors", next_step=step) from error
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model.to(device=device).eval(), tokenizer)

    def episodes(
        self, tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig, sampling: Sampling
    ) -> list[Episode]:
        """Return one episode per task: see `Policy`."""
        return [rollout.episode for rollout in play_in_slots(self, tasks, toolbox, agent, sampling)]

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a turn."""
        return stop_ids_of(self.model.generation_config, self.tokenizer)

    @cached_property
    def control_tokens(self) -> tuple[str, ...]:
        """Every special and added token: what no item text may spell."""
        return escaped_tokens_of(self.tokenizer)

    def count_tokens(self, text: str) -> int:
        """Return how many tokens the model reads a text as."""
        return count_tokens_of(self.tokenizer, text)


def open_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a policy's folder, with a parser for tool calls.

    Raises:
        InputError: the folder is no policy, has no chat template, or one whose tool calls TRL cannot parse.
    """
    from transformers import AutoTokenizer

    if not (folder / "config.json").is_file():
        step = "Give the folder of a finished policy."
        raise InputError(folder, found="no config.json", expected="a policy that transformers loads", next_step=step)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if not tokenizer.chat_template:
        step = "Save the tokenizer with its template (chat_template.jinja), or take an instruct model."
        found = "a tokenizer without chat template"
        raise InputError(folder, found=found, expected="a template that renders tools and turns", next_step=step)
    return with_response_parser(tokenizer, folder)


def stop_ids_of(generation: Any, tokenizer: Any) -> frozenset[int]:
    """Return the tokens that end a turn, by a generation configuration and its tokenizer."""
    configured = generation.eos_token_id
    ids = configured if isinstance(configured, (list, tuple)) else [configured]
    return frozenset(int(token) for token in (*ids, tokenizer.eos_token_id) if token is not None)


def escaped_tokens_of(tokenizer: Any) -> tuple[str, ...]:
    """Return every special and added token of a tokenizer: none of them may come out of a text of the catalogue.

    Of added ones that are no special tokens, a single letter or digit is left out: it is what texts are made of.
    """
    added = {token for token in tokenizer.get_added_vocab() if not (len(token) == 1 and token.isalnum())}
    return tuple(sorted(added.union(tokenizer.all_special_tokens)))


def control_tokens_of(tokenizer: Any) -> tuple[str, ...]:
    """Return every special token, and every added one that is not a word: what a message of ours never holds."""
    special = set(tokenizer.all_special_tokens)
    added = (token for token in tokenizer.get_added_vocab() if not token.strip().isalnum())
    return tuple(sorted(special.union(added)))


def count_tokens_of(tokenizer: Any, text: str) -> int:
    """Return how many tokens a tokenizer makes of a text."""
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


def with_response_parser(tokenizer: Any, where: Path) -> Any:
    """Return the tokenizer with a parser for tool calls, TRL's where it brings none.

    Raises:
        InputError: TRL does not know the chat template.
    """
    from trl.chat_template_utils import add_response_schema

    if getattr(tokenizer, "response_template", None) or getattr(tokenizer, "response_schema", None):
        return tokenizer
    try:
        return add_response_schema(tokenizer)
    except ValueError as error:
        step = "Use a model whose template TRL knows (trl/chat_templates), or one with a response_template."
        raise InputError(where, found=str(error), expected="a known chat template", next_step=step) from error
