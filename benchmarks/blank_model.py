"""A model of a published size with random weights, for everything but quality where no weights are at hand.

`python -m benchmarks.blank_model qwen3_0_6b my-model --tokenizer models/embedded/base_policy` writes a folder that
`base_policy.model` of a recipe may name. Tokenizer and chat template are those of a policy that the pipeline made, the
table of embeddings keeps its published size, so that memory and time are those of the real model.
"""

import argparse
from pathlib import Path

import torch
from transformers import AutoTokenizer, Qwen3Config, Qwen3ForCausalLM

_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
    "max_position_embeddings",
)
# As the `config.json` of the models on the hub; `small` is for tests.
SIZES = {
    "small": dict(zip(_KEYS, (64, 128, 2, 4, 2, 16, 4096, 4096), strict=True)),
    "qwen3_0_6b": dict(zip(_KEYS, (1024, 3072, 28, 16, 8, 128, 151_936, 40_960), strict=True)),
    "qwen3_4b": dict(zip(_KEYS, (2560, 9728, 36, 32, 8, 128, 151_936, 262_144), strict=True)),
}


def blank_model(size: str, folder: Path, tokenizer_folder: Path, *, seed: int = 0) -> int:
    """Write the model, bfloat16 safetensors, and the tokenizer beside it; return its number of parameters."""
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, trust_remote_code=False, local_files_only=True)
    shape = SIZES[size]
    assert len(tokenizer) <= shape["vocab_size"], f"{len(tokenizer)} tokens, and the model has {shape['vocab_size']}"
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = Qwen3Config(**shape, **ends, tie_word_embeddings=True, dtype="bfloat16")
    torch.manual_seed(seed)
    model = Qwen3ForCausalLM(config).to(torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


def main() -> None:
    """Write a model from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=SIZES)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tokenizer", type=Path, required=True, help="folder of a policy with a chat template")
    asked = parser.parse_args()
    count = blank_model(asked.size, asked.folder, asked.tokenizer)
    print(f"wrote {asked.folder}: {count:,} parameters, random")


if __name__ == "__main__":
    main()
