from pathlib import Path

import polars as pl
import pytest

from recops import interrupt
from recops.agent.local_policy import LocalPolicy
from recops.config.policy import EmbeddedPolicyConfig, PretrainedPolicyConfig
from recops.errors import InputError
from recops.tools.toolbox import Toolbox
from recops.train.embedded import run_base_policy
from recops.train.from_scratch import learning_rate_factor
from tests.recops.agent.world import AGENT
from tests.recops.train.small import StubIO, files

CONFIG = EmbeddedPolicyConfig(
    kind="embedded",
    width=32,
    num_layers=1,
    num_heads=2,
    rope_theta=10000.0,
    vocabulary_size=1024,
    drill_steps=6,
    orders=(1, 2, 3, 3, 4),
    episode_steps=4,
    drill_batch_size=4,
    episode_batch_size=4,
    learning_rate=0.01,
    checkpoint_steps=4,
)


@pytest.fixture
def inputs(toolbox: Toolbox, tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "raw_data"
    folder.mkdir()
    toolbox.store.items.write_parquet(folder / "items.parquet")
    return {"raw_data": folder}


def _run(root: Path, inputs: dict[str, Path], config: EmbeddedPolicyConfig = CONFIG) -> StubIO:
    io = StubIO(root, "base_policy", inputs)
    run_base_policy(io, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    return io


def test_the_embedded_policy_learns_and_loads(inputs: dict[str, Path], tmp_path: Path) -> None:
    io = _run(tmp_path / "run", inputs)
    losses = pl.read_parquet(io.out / "curve.parquet")["value"].to_list()
    assert len(losses) == 10
    assert LocalPolicy.load(io.out).model.config.model_type == "qwen3"


def test_an_interrupted_training_resumes_to_the_same_bytes(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _run(tmp_path / "whole", inputs)
    cut = StubIO(tmp_path / "cut", "base_policy", inputs)
    monkeypatch.setattr(interrupt, "requested", lambda: len(cut.logged) == 5)
    with pytest.raises(interrupt.Interrupted):
        run_base_policy(cut, CONFIG, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert not list(cut.out.iterdir())
    monkeypatch.setattr(interrupt, "requested", lambda: False)
    run_base_policy(cut, CONFIG, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert [step for step, _ in cut.logged] == list(range(1, 11))
    for path in whole.out.iterdir():
        assert path.read_bytes() == (cut.out / path.name).read_bytes(), path.name


def test_the_learning_rate_warms_up_stays_and_decays() -> None:
    factors = [learning_rate_factor(step, 200) for step in range(200)]
    assert factors[0] < factors[10] < factors[60] == 1.0 > factors[150] > factors[199] > 0


def test_a_pretrained_folder_is_copied_whole(inputs: dict[str, Path], policy_folder: Path, tmp_path: Path) -> None:
    config = PretrainedPolicyConfig(
        kind="pretrained", model=str(policy_folder), revision=None, adapter=None, dtype="float32"
    )
    io = StubIO(tmp_path / "run", "base_policy", inputs)
    report = run_base_policy(io, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert report.revision.startswith("sha256:")
    assert (io.out / "model.safetensors").read_bytes() == (policy_folder / "model.safetensors").read_bytes()


def test_a_hub_model_needs_a_pinned_commit(inputs: dict[str, Path], tmp_path: Path) -> None:
    config = PretrainedPolicyConfig(
        kind="pretrained", model="someone/model", revision="main", adapter=None, dtype="float32"
    )
    with pytest.raises(InputError, match="commit hash"):
        run_base_policy(StubIO(tmp_path / "run", "base_policy", inputs), config, seed=1, agent=AGENT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("episode_steps", "learning_rate", "said"),
    [
        (4, 1e30, r"lower base_policy\.learning_rate"),
        (1, 1e22, "step 2: the norm of the weights is nan; lower the learning rate"),
    ],
)
def test_a_learning_rate_that_breaks_the_weights_is_said_and_no_policy_is_saved(
    inputs: dict[str, Path], tmp_path: Path, episode_steps: int, learning_rate: float, said: str
) -> None:
    io = StubIO(tmp_path / "run", "base_policy", inputs)
    steps = {"drill_steps": 1, "episode_steps": episode_steps}
    config = CONFIG.model_copy(update={**steps, "learning_rate": learning_rate})
    with pytest.raises(FloatingPointError, match=said):
        run_base_policy(io, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert not files(io.out)
