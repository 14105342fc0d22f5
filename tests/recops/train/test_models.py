from pathlib import Path

import pytest
import torch

from recops.agent.local_policy import LocalPolicy
from recops.errors import InputError
from recops.train.models import load_trainable, make_trainable, num_trainable, save_policy, trainable_digest
from tests.recops.train.small import LORA

IDS = torch.arange(1, 13).view(2, 6)


def _logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


def test_a_saved_policy_gives_the_same_logits_and_the_same_bytes(policy: LocalPolicy, tmp_path: Path) -> None:
    before = _logits(policy.model)
    for name in ("a", "b"):
        save_policy(policy.model, policy.tokenizer, tmp_path / name, max_new_tokens=32)
    model, tokenizer = load_trainable(tmp_path / "a")
    assert torch.equal(_logits(model), before)
    assert tokenizer.chat_template == policy.tokenizer.chat_template
    for path in (tmp_path / "a").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_the_generation_configuration_leaves_nothing_to_the_model(policy: LocalPolicy, tmp_path: Path) -> None:
    policy.model.generation_config.temperature = 0.1
    save_policy(policy.model, policy.tokenizer, tmp_path, max_new_tokens=32)
    config = load_trainable(tmp_path)[0].generation_config
    assert (config.do_sample, config.num_beams, config.max_new_tokens) == (False, 1, 32)
    assert config.eos_token_id == policy.tokenizer.eos_token_id
    assert config.temperature is None


def test_adapters_are_merged_into_what_readers_open(policy: LocalPolicy, tmp_path: Path) -> None:
    plain = _logits(policy.model)
    model = make_trainable(policy.model, LORA, seed=1)
    assert 0 < num_trainable(model) < sum(parameter.numel() for parameter in model.parameters()) / 2
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.05)
    adapted = _logits(model)
    assert not torch.allclose(adapted, plain, atol=1e-3)
    save_policy(model, policy.tokenizer, tmp_path, max_new_tokens=32)
    assert torch.allclose(_logits(load_trainable(tmp_path)[0]), adapted, atol=1e-4)
    assert (tmp_path / "adapter" / "adapter_model.safetensors").is_file()
    assert "/" not in (tmp_path / "adapter" / "adapter_config.json").read_text().split("base_model")[1].split(",")[0]


def test_an_adapter_opened_for_inference_is_refused(policy: LocalPolicy) -> None:
    model = make_trainable(policy.model, LORA, seed=1)
    for parameter in model.parameters():
        parameter.requires_grad = False
    with pytest.raises(RuntimeError, match="no trainable parameter"):
        num_trainable(model)


def test_the_digest_tells_whether_a_weight_moved(policy: LocalPolicy) -> None:
    before = trainable_digest(policy.model)
    assert trainable_digest(policy.model) == before
    with torch.no_grad():
        policy.model.get_input_embeddings().weight[0, 0] += 1e-6
    assert trainable_digest(policy.model) != before


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"])
def test_a_folder_that_lacks_a_part_is_refused(policy: LocalPolicy, tmp_path: Path, missing: str) -> None:
    save_policy(policy.model, policy.tokenizer, tmp_path, max_new_tokens=32)
    (tmp_path / missing).unlink()
    with pytest.raises(InputError, match=r"expected config\.json"):
        load_trainable(tmp_path)
