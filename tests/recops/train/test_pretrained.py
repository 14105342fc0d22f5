import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file

from recops.agent.local_policy import LocalPolicy
from recops.config.policy import AdapterConfig, PretrainedPolicyConfig
from recops.errors import InputError, UnavailableError
from recops.train.models import load_trainable
from recops.train.pretrained import Imported, import_pretrained


@pytest.fixture(scope="module")
def adapter_folder(policy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter of rank 2 whose weights are not zero, as PEFT saves it."""
    model, _ = load_trainable(policy_folder)
    torch.manual_seed(0)
    adapted = get_peft_model(
        model, LoraConfig(r=2, lora_alpha=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    )
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    folder = tmp_path_factory.mktemp("adapter")
    adapted.save_pretrained(folder)
    return folder


def imported(model: Path, adapter: Path | str | None, out: Path, revision: str | None = None) -> Imported:
    chosen = None if adapter is None else AdapterConfig(model=str(adapter), revision=revision)
    config = PretrainedPolicyConfig(kind="pretrained", model=str(model), revision=None, adapter=chosen, dtype="float32")
    return import_pretrained(config, out, max_new_tokens=32)


def logits(folder: Path) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = LocalPolicy.load(folder).model(torch.arange(20)[None]).logits
    return found


def test_an_adapter_is_merged_into_the_copy(policy_folder: Path, adapter_folder: Path, tmp_path: Path) -> None:
    from peft import PeftModel

    facts = imported(policy_folder, adapter_folder, tmp_path / "with")

    model, _ = load_trainable(policy_folder)
    with torch.inference_mode():
        expected = PeftModel.from_pretrained(model, str(adapter_folder)).eval()(torch.arange(20)[None]).logits
    assert torch.allclose(logits(tmp_path / "with"), expected, atol=1e-4)
    assert not torch.allclose(logits(tmp_path / "with"), logits(policy_folder), atol=1e-2)
    assert facts.adapter.startswith("sha256:")
    plain = load_file(policy_folder / "model.safetensors")
    assert set(load_file(tmp_path / "with" / "model.safetensors")) == set(plain)


def test_without_an_adapter_the_weights_stay(policy_folder: Path, tmp_path: Path) -> None:
    assert imported(policy_folder, None, tmp_path / "plain").adapter == ""
    assert torch.equal(logits(tmp_path / "plain"), logits(policy_folder))


def test_what_is_no_adapter_of_the_model_is_refused(policy_folder: Path, adapter_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no adapter_config.json and no adapter_model.safetensors"):
        imported(policy_folder, tmp_path, tmp_path / "a")
    pickled = shutil.copytree(adapter_folder, tmp_path / "pickled")
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    with pytest.raises(InputError, match="no adapter_model"):
        imported(policy_folder, pickled, tmp_path / "b")
    foreign = shutil.copytree(adapter_folder, tmp_path / "foreign")
    settings = json.loads((foreign / "adapter_config.json").read_text(encoding="utf-8"))
    (foreign / "adapter_config.json").write_text(
        json.dumps({**settings, "target_modules": ["attention"]}), encoding="utf-8"
    )
    with pytest.raises(InputError, match="saved by PEFT for this model"):
        imported(policy_folder, foreign, tmp_path / "c")
    wide = shutil.copytree(adapter_folder, tmp_path / "wide")
    (wide / "adapter_config.json").write_text(json.dumps({**settings, "r": 3}), encoding="utf-8")
    with pytest.raises(InputError, match="size mismatch"):
        imported(policy_folder, wide, tmp_path / "d")
    with pytest.raises(InputError, match=r"base_policy.adapter.revision: found main; expected a commit hash"):
        imported(policy_folder, "someone/adapter", tmp_path / "e", revision="main")


def test_a_model_whose_tokenizer_has_no_template_is_refused(policy_folder: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(policy_folder, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()
    with pytest.raises(InputError, match="a tokenizer without chat template"):
        imported(bare, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("status", "kind"), [(404, InputError), (401, InputError), (503, UnavailableError), (None, UnavailableError)]
)
def test_a_hub_that_is_not_well_may_be_asked_again_and_a_model_that_is_not_there_not(
    status: int | None, kind: type[InputError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    config = PretrainedPolicyConfig(
        kind="pretrained", model="someone/model", revision="a" * 40, adapter=None, dtype="float32"
    )
    with hub(status) as address:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        with pytest.raises(InputError, match=r"base_policy.model: found someone/model at a{40}") as refused:
            import_pretrained(config, tmp_path / "out", max_new_tokens=32)
    assert type(refused.value) is kind


@contextmanager
def hub(status: int | None) -> Iterator[str]:
    """A hub that answers everything with a status; None: nobody listens."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status or 0, "told by the test")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Answer)
    address = f"http://127.0.0.1:{server.server_port}"
    if status is None:
        server.server_close()
        yield address
        return
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield address
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
