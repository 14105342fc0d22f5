"""A policy that plays: a causal language model with its tokenizer and chat template, on one device."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from recops.errors import InputError


@dataclass(frozen=True)
class Policy:
    """Model and tokenizer of `transformers`, as a folder holds them or as a trainer is training them."""

    model: Any
    tokenizer: Any

    @classmethod
    def load(cls, folder: Path) -> "Policy":
        """Open a policy's folder; weights are safetensors, code of others never runs, nothing is downloaded.

        Raises:
            InputError: the folder is no policy, or its chat template is one whose tool calls TRL cannot parse.
        """
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if not (folder / "config.json").is_file():
            step = "Give the folder of a finished policy."
            raise InputError(
                folder, found="no config.json", expected="a policy that transformers loads", next_step=step
            )
        local = {"local_files_only": True, "trust_remote_code": False}
        tokenizer = with_response_parser(AutoTokenizer.from_pretrained(folder, **local), folder)
        try:
            model: Any = AutoModelForCausalLM.from_pretrained(
                folder, use_safetensors=True, dtype="auto", attn_implementation="sdpa", **local
            )
        except OSError as error:
            step = "Save the policy with safe_serialization=True."
            raise InputError(folder, found=str(error), expected="weights as safetensors", next_step=step) from error
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return cls(model.to(device=device).eval(), tokenizer)

    @cached_property
    def stop_ids(self) -> frozenset[int]:
        """Tokens that end a turn."""
        configured = self.model.generation_config.eos_token_id
        ids = configured if isinstance(configured, (list, tuple)) else [configured]
        return frozenset(int(token) for token in (*ids, self.tokenizer.eos_token_id) if token is not None)

    @cached_property
    def control_tokens(self) -> tuple[str, ...]:
        """Every special and added token that is not a word: what no item text may spell."""
        special = set(self.tokenizer.all_special_tokens)
        added = (token for token in self.tokenizer.get_added_vocab() if not token.strip().isalnum())
        return tuple(sorted(special.union(added)))


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
