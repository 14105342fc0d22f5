"""Policies as `transformers` models: built from scratch, opened for training, given adapters, saved.

A policy is a folder that `transformers` loads as it is: weights as safetensors, configuration, tokenizer with the
training chat template, and a generation configuration that leaves nothing to a model's own defaults.
"""

import hashlib
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from recops.config.policy import EmbeddedPolicyConfig, LoraConfig
from recops.errors import InputError
from recops.train.tokenizer import build_tokenizer

__all__ = [
    "autocast_of",
    "build_model",
    "build_tokenizer",
    "generation_config",
    "load_trainable",
    "make_trainable",
    "num_trainable",
    "round_to_stored",
    "save_policy",
    "stored_dtype",
    "trainable_digest",
]

MAX_POSITIONS = 2048
ADAPTER = "adapter"
MICRO_BATCH, LARGE_MICRO_BATCH = 64, 8
"""Episodes of one forward and backward pass, for small and large models; a step's gradient is accumulated over them."""
_LARGE_PARAMETERS = 10**8
"""From this size on passes are short and activations are recomputed in the backward pass, to save memory."""
_MLP_RATIO = 3
_STORED = "stored_dtype"


def build_model(config: EmbeddedPolicyConfig, tokenizer: Any, seed: int) -> nn.Module:
    """Return a Qwen3 model with random weights, float32, tied embeddings; equal seeds give equal weights."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    if config.width % (2 * config.num_heads):
        raise InputError(
            "base_policy.width",
            found=config.width,
            expected=f"an even multiple of num_heads ({config.num_heads}), for rotary positions turn pairs",
            next_step="Change width or num_heads.",
        )
    settings: Any = Qwen3Config(
        vocab_size=len(tokenizer),
        hidden_size=config.width,
        intermediate_size=_MLP_RATIO * config.width,
        num_hidden_layers=config.num_layers,
        num_attention_heads=config.num_heads,
        num_key_value_heads=config.num_heads,
        head_dim=config.width // config.num_heads,
        max_position_embeddings=MAX_POSITIONS,
        rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        dtype="float32",
    )
    settings._attn_implementation = "sdpa"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Qwen3ForCausalLM(settings)


def load_trainable(folder: Path) -> tuple[Any, Any]:
    """Open a policy for training: model (its own dtype, SDPA attention) and tokenizer.

    Raises:
        InputError: the folder lacks safetensors weights, a tokenizer, or a chat template.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    check_policy_folder(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    if not tokenizer.chat_template:
        raise _incomplete(folder, "a tokenizer without chat template")
    model = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype="auto",
        attn_implementation="sdpa",
        trust_remote_code=False,
        use_safetensors=True,
        local_files_only=True,
    )
    return model, tokenizer


def check_policy_folder(folder: Path) -> None:
    """Check that a folder holds what a policy needs.

    Raises:
        InputError: it is missing, or lacks configuration, safetensors weights or a tokenizer.
    """
    if not folder.is_dir():
        raise _incomplete(folder, "no such folder")
    if not (folder / "config.json").is_file():
        raise _incomplete(folder, "no config.json")
    if not any(folder.glob("*.safetensors")):
        others = sorted(path.name for path in folder.glob("*.bin"))
        raise _incomplete(
            folder, f"no *.safetensors (pickled weights are not read: {others})" if others else "no weights"
        )
    if not (folder / "tokenizer.json").is_file():
        raise _incomplete(folder, "no tokenizer.json")


def _incomplete(folder: Path, found: str) -> InputError:
    return InputError(
        folder,
        found=found,
        expected="config.json, *.safetensors, tokenizer.json and a chat template",
        next_step="Point base_policy.model at a whole model folder or a hub id.",
    )


def make_trainable(model: Any, config: LoraConfig | None, seed: int) -> Any:
    """Return the model with fresh trainable adapters, or, where `config` is None, with all of its weights trainable.

    What trains is float32 whatever the model is stored in: in bfloat16 an update of 1e-6 is rounded away for all but
    the smallest weights. A frozen model behind adapters stays as it is stored.
    The output layer gets no adapter: TRL multiplies by its weight directly, past any adapter.
    """
    if config is None:
        return _with_masters(model)
    from peft import LoraConfig as PeftLoraConfig
    from peft import get_peft_model

    settings = PeftLoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=config.target_modules,
        exclude_modules=["lm_head"],
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(model, settings)


def _with_masters(model: Any) -> Any:
    if model.dtype == torch.bfloat16:
        # Kept beside the weights, for a trainer's checkpoint writes the format of the masters into `model.config`.
        setattr(model, _STORED, model.dtype)
        model = model.float()
    return model


def stored_dtype(model: Any) -> torch.dtype:
    """Return the number format that a model is saved in: its own, or the one that its float32 masters came from."""
    dtype: torch.dtype = getattr(model, _STORED, model.dtype)
    return dtype


def round_to_stored(model: Any) -> Any:
    """Return the model as the next stage will read it: float32 masters rounded once; others as they are."""
    return model.to(stored_dtype(model)) if hasattr(model, _STORED) else model


def autocast_of(model: Any) -> AbstractContextManager[object]:
    """Return the context in which a trainer of this model computes: bfloat16 where it is stored in it, or nothing."""
    half = stored_dtype(model) == torch.bfloat16
    return torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=half)


def micro_batches(model: nn.Module, batch_size: int) -> int:
    """Return over how many equal passes a step's batch is accumulated: the fewest that fit the model's size."""
    largest = MICRO_BATCH if _size(model) < _LARGE_PARAMETERS else LARGE_MICRO_BATCH
    passes = -(-batch_size // largest)
    while batch_size % passes:
        passes += 1
    return passes


def device_arguments(model: Any) -> dict[str, Any]:
    """Return what a trainer must be told about number format and memory, where TRL's defaults do not fit a CPU."""
    half = stored_dtype(model) == torch.bfloat16
    return {
        "bf16": half,
        # Without a GPU, the arguments take bfloat16 only from who says that there is none.
        "use_cpu": half and not torch.cuda.is_available(),
        "gradient_checkpointing": _size(model) >= _LARGE_PARAMETERS,
    }


def _size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def num_trainable(model: nn.Module) -> int:
    """Return how many parameters a training step can move.

    Raises:
        RuntimeError: none. An adapter opened for inference (PEFT's default) trains nothing while its loss looks alive.
    """
    count = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    if count == 0:
        raise RuntimeError("no trainable parameter: the adapter or the model was opened for inference")
    return count


def trainable_digest(model: nn.Module) -> str:
    """Return a SHA-256 over the trainable parameters, names and values: two digests differ when training moved any."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        if parameter.requires_grad:
            digest.update(name.encode())
            digest.update(parameter.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def generation_config(tokenizer: Any, max_new_tokens: int) -> Any:
    """Return greedy decoding with every choice spelled out, so that no default of a base model leaks in."""
    from transformers import GenerationConfig

    return GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=max_new_tokens,
        do_sample=False,
        num_beams=1,
        temperature=None,
        top_p=None,
        top_k=None,
        repetition_penalty=1.0,
        use_cache=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def save_policy(model: Any, tokenizer: Any, folder: Path, *, max_new_tokens: int) -> None:
    """Write model, tokenizer and generation configuration into `folder`.

    Adapters are written to `folder/adapter` and merged into the weights beside them: readers open one plain model.
    Weights are written in the format that the model was stored in. Consumes the model: after the call its adapters are
    merged and its masters rounded.
    """
    from peft import PeftModel

    if isinstance(model, PeftModel):
        model.save_pretrained(str(folder / ADAPTER))
        _settle_adapter_config(folder / ADAPTER)
        model = model.merge_and_unload()
    model = round_to_stored(model)
    model.generation_config = generation_config(tokenizer, max_new_tokens)
    model.config.use_cache = True
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _settle_adapter_config(adapter: Path) -> None:
    """Make what PEFT writes the same everywhere: it names the base model's path, and modules in the order of a set."""
    import json

    path = adapter / "adapter_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["base_model_name_or_path"] = ""
    if isinstance(content["target_modules"], list):
        content["target_modules"].sort()
    path.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    (adapter / "README.md").unlink(missing_ok=True)
