"""A pretrained policy: a local folder or a hub model at a pinned revision; copied, so later stages read no hub.

An adapter that PEFT saved for it is merged into the copy: every later stage and engine opens one plain model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from recops.artifacts import file_sha256
from recops.config.policy import AdapterConfig, PretrainedPolicyConfig
from recops.errors import InputError, UnavailableError
from recops.train.models import check_policy_folder, load_trainable, save_policy

_FILES = ("*.json", "*.safetensors", "*.jinja", "*.txt", "*.model")
_HASH = 40
_PASSING = {429, *range(500, 600)}
"""Answers of a server that may be others a little later."""


@dataclass(frozen=True)
class Imported:
    """What was imported: commits of the hub, or SHA-256 of local weights; `adapter` is empty without one."""

    revision: str
    adapter: str
    parameters: int
    vocabulary: int


def import_pretrained(config: PretrainedPolicyConfig, out: Path, *, max_new_tokens: int) -> Imported:
    """Copy a pretrained model into `out`, in the recipe's dtype, with the template that training needs.

    Raises:
        InputError: folder or hub model is missing or incomplete, a hub model has no pinned revision, TRL knows no
            training variant of its chat template, or the adapter does not belong to the model.
    """
    source, revision = _located(config, "base_policy")
    check_policy_folder(source)
    model, tokenizer = load_trainable(source)
    _set_training_template(tokenizer, source)
    adapter = ""
    if config.adapter is not None:
        folder, adapter = _located(config.adapter, "base_policy.adapter")
        model = with_adapter(model, folder).merge_and_unload()
    model = model.to(getattr(torch, config.dtype))
    save_policy(model, tokenizer, out, max_new_tokens=max_new_tokens)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Imported(revision=revision, adapter=adapter, parameters=parameters, vocabulary=len(tokenizer))


def with_adapter(model: Any, folder: Path) -> Any:
    """Return the model behind an adapter, as PEFT opens it: safetensors only.

    Raises:
        InputError: the folder holds no adapter of PEFT, or one for another model.
    """
    from peft import PeftModel

    expected = "adapter_config.json and adapter_model.safetensors, saved by PEFT for this model"
    step = "Point base_policy.adapter.model at the folder of an adapter, or set base_policy.adapter to null."
    missing = [name for name in ("adapter_config.json", "adapter_model.safetensors") if not (folder / name).is_file()]
    if missing:
        raise InputError(folder, found=f"no {' and no '.join(missing)}", expected=expected, next_step=step)
    try:
        return PeftModel.from_pretrained(model, str(folder), local_files_only=True)
    except (ValueError, RuntimeError, KeyError) as error:
        raise InputError(folder, found=str(error)[:200], expected=expected, next_step=step) from error


def _located(config: PretrainedPolicyConfig | AdapterConfig, where: str) -> tuple[Path, str]:
    """Return the folder of a model or adapter, fetched if it is the hub's, and what names its content."""
    folder = Path(config.model).expanduser()
    if folder.is_dir() or config.model.startswith((".", "/", "~")):
        weights = sorted(folder.glob("*.safetensors"))
        return folder, "sha256:" + "+".join(file_sha256(path)[:16] for path in weights)
    return _fetched(config, where), str(config.revision)


def _fetched(config: PretrainedPolicyConfig | AdapterConfig, where: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    if config.revision is None or len(config.revision) != _HASH:
        raise InputError(
            f"{where}.revision",
            found=config.revision,
            expected=f"a commit hash of {_HASH} characters: a branch changes under the recipe",
            next_step="Copy the hash of a commit of the model's repository.",
        )
    try:
        return Path(snapshot_download(config.model, revision=config.revision, allow_patterns=list(_FILES)))
    except (HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError, OSError, ValueError) as error:
        status = _status(error)
        # Nobody answered, or who answered was not well: not that there is no such model.
        passing = status in _PASSING if status else isinstance(error, LocalEntryNotFoundError)
        kind = UnavailableError if passing else InputError
        raise kind(
            f"{where}.model",
            found=f"{config.model} at {config.revision}: {type(error).__name__}",
            expected="a hub model that can be fetched",
            next_step="Check id, revision, network and HF_TOKEN, or give a local folder.",
        ) from error


def _status(error: BaseException) -> int | None:
    """The status of the answer that an error tells of, or the one that it was raised for."""
    responses = [getattr(one, "response", None) for one in (error, error.__cause__)]
    return next((int(one.status_code) for one in responses if one is not None), None)


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
