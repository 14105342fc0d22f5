from pathlib import Path

from benchmarks.blank_model import SIZES, blank_model
from recops.agent.local_policy import LocalPolicy
from recops.config.policy import PretrainedPolicyConfig
from recops.train.pretrained import import_pretrained
from recops.train.sft import run_sft
from tests.recops.agent.world import AGENT
from tests.recops.train.small import LORA, SFT, StubIO
from tests.recops.train.test_sft import inputs  # noqa: F401 - a fixture


def test_a_blank_model_is_imported_and_trained_with_adapters_in_bfloat16(
    inputs: dict[str, Path],  # noqa: F811
    policy_folder: Path,
    tmp_path: Path,
) -> None:
    count = blank_model("small", tmp_path / "blank", policy_folder)
    config = PretrainedPolicyConfig(
        kind="pretrained", model=str(tmp_path / "blank"), revision=None, adapter=None, dtype="bfloat16"
    )
    imported = import_pretrained(config, tmp_path / "base", max_new_tokens=32)
    assert imported.parameters == count

    io = StubIO(tmp_path, "sft_checkpoint", {**inputs, "base_policy": tmp_path / "base"})
    settings = SFT.model_copy(update={"lora": LORA, "steps": 10, "checkpoint_steps": 10, "learning_rate": 0.05})
    report = run_sft(io, settings, seed=1, agent=AGENT)  # type: ignore[arg-type]

    assert report.held_out_loss_after < report.held_out_loss_before
    trained = LocalPolicy.load(io.out).model
    assert (trained.dtype, trained.config.vocab_size) == (trained.lm_head.weight.dtype, SIZES["small"]["vocab_size"])
    assert str(trained.dtype) == "torch.bfloat16"
