"""What a step of training is when workers share its batch."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from recops.agent.local_policy import LocalPolicy
from recops.errors import InputError
from recops.paths import project_root
from recops.ranks import share
from recops.tools.toolbox import Toolbox
from recops.train.conversations import encode_conversations
from tests.recops.train.test_sft import _conversations

DDP = project_root() / "recipes" / "accelerate" / "ddp.yaml"


def test_shares_are_equal_or_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert share(12, where="here") == 12
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert share(12, where="here") == 3
    with pytest.raises(InputError, match="here: found 13; expected a multiple of the 4 workers"):
        share(13, where="here")


@pytest.mark.slow
def test_two_workers_that_share_a_batch_move_the_weights_as_one_process_does(
    policy: LocalPolicy, policy_folder: Path, toolbox: Toolbox, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.json"
    rows.write_text(
        json.dumps(encode_conversations(policy.tokenizer, _conversations(toolbox, 8), [])), encoding="utf-8"
    )
    launch = ["-m", "accelerate.commands.launch", "--config_file", str(DDP), "--main_process_port", "0", "--module"]

    alone = trained(["-m"], policy_folder, rows, tmp_path / "alone")
    together = trained(launch, policy_folder, rows, tmp_path / "together")

    assert together["losses"] == pytest.approx(alone["losses"], rel=1e-3)
    start = load_file(policy_folder / "model.safetensors")
    moved = sum(float((alone["weights"][name] - start[name]).abs().sum()) for name in start)
    apart = sum(float((alone["weights"][name] - together["weights"][name]).abs().sum()) for name in start)
    assert apart < moved / 50


def trained(python: list[str], policy: Path, rows: Path, out: Path) -> dict[str, Any]:
    out.mkdir()
    command = [sys.executable, *python, "tests.recops.train.worker_of_sft", str(policy), str(rows), str(out)]
    done = subprocess.run(command, cwd=project_root(), capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    losses = json.loads((out / "losses.json").read_text(encoding="utf-8"))
    return {"losses": losses, "weights": load_file(out / "model.safetensors")}
