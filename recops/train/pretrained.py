"""A pretrained policy: a local folder or a hub model at a pinned revision; copied, so later stages read no hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recops.artifacts import file_sha256
from recops.config.policy import PretrainedPolicyConfig
from recops.errors import InputError
from recops.train.models import check_policy_folder, load_trainable, save_policy

_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
_HASH = 40


@dataclass(frozen=True)
class Imported:
    """What was imported: the commit of the hub, or the SHA-256 of a local folder's weights."""

    revision: str
    parameters: int
    vocabulary: int


def import_pretrained(config: PretrainedPolicyConfig, out: Path, *, max_new_tokens: int) -> Imported:
    """Copy a pretrained model into `out`, in the recipe's dtype, with the template that training needs.

    Raises:
        InputError: folder or hub model is missing or incomplete, a hub model has no pinned revision, or TRL knows no
            training variant of its chat template.
    """
    folder = Path(config.model).expanduser()
    is_local = folder.is_dir() or config.model.startswith((".", "/", "~"))
    source = folder if is_local else _fetched(config)
    check_policy_folder(source)
    model, tokenizer = load_trainable(source)
    _set_training_template(tokenizer, source)
    model = model.to(getattr(torch, config.dtype))
    save_policy(model, tokenizer, out, max_new_tokens=max_new_tokens)
    weights = sorted(source.glob("*.safetensors"))
    revision = "sha256:" + "+".join(file_sha256(path)[:16] for path in weights) if is_local else str(config.revision)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Imported(revision=revision, parameters=parameters, vocabulary=len(tokenizer))


def _fetched(config: PretrainedPolicyConfig) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    if config.revision is None or len(config.revision) != _HASH:
        raise InputError(
            "base_policy.revision",
            found=config.revision,
            expected=f"a commit hash of {_HASH} characters: a branch changes under the recipe",
            next_step="Copy the hash of a commit of the model's repository.",
        )
    try:
        return Path(snapshot_download(config.model, revision=config.revision, allow_patterns=list(_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError, OSError, ValueError) as error:
        raise InputError(
            "base_policy.model",
            found=f"{config.model} at {config.revision}: {type(error).__name__}",
            expected="a hub model that can be fetched",
            next_step="Check id, revision, network and HF_TOKEN, or give a local folder.",
        ) from error


def _set_training_template(tokenizer: Any, source: Path) -> None:
    """Give the tokenizer a response parser and the template whose marks tell which tokens the assistant wrote."""
    from trl.chat_template_utils import add_response_schema, get_training_chat_template

    try:
        if getattr(tokenizer, "response_template", None) is None:
            add_response_schema(tokenizer)
        tokenizer.chat_template = get_training_chat_template(tokenizer) or tokenizer.chat_template
    except ValueError as error:
        raise InputError(
            source,
            found=f"a chat template that TRL has no training variant of ({str(error)[:80]})",
            expected="a template with tool calls that TRL knows, such as Qwen3's",
            next_step="Choose another model, or replace its chat template by one of TRL's.",
        ) from error
