"""What doctor says of GPUs: a driver's command stands on the PATH as a real program."""

from pathlib import Path

import pytest

from recops import doctor
from recops.doctor import Problem
from recops.gpu import Gpu, nvidia_gpus, torch_has_gpu
from tests.pipeline.project import CHECKOUT


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the PATH, without a driver's command until a test writes one."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "nvidia-smi"


def answer(driver: Path, text: str, code: int = 0) -> None:
    driver.write_text(f"#!/bin/sh\necho '{text}'\nexit {code}\n", encoding="utf-8")
    driver.chmod(0o755)


def gpu_problems(recipe: str = "embedded") -> list[Problem]:
    return list(doctor._gpu(CHECKOUT, recipe))


def torch_build(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    real = doctor.importlib.metadata.version
    monkeypatch.setattr(doctor.importlib.metadata, "version", lambda name: version if name == "torch" else real(name))


def test_a_machine_without_a_driver_has_no_gpu_and_no_problem(driver: Path) -> None:
    assert nvidia_gpus() == []
    assert gpu_problems() == []


def test_what_the_driver_lists_is_read(driver: Path) -> None:
    answer(driver, "NVIDIA H200, 143000, 143771\nTesla, T4, [N/A], [N/A]")
    assert nvidia_gpus() == [Gpu("NVIDIA H200", 143000, 143771), Gpu("Tesla, T4", None, None)]


def test_a_gpu_that_torch_cannot_use_is_named(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(driver, "NVIDIA H200, 143000, 143771")
    torch_build(monkeypatch, "2.13.0+cpu")
    [problem] = gpu_problems()
    assert problem.found == "NVIDIA H200, and a torch that was built for the CPU"
    assert "CUDA build of torch 2.13.0" in problem.fix
    torch_build(monkeypatch, "2.13.0")
    assert gpu_problems() == []


def test_a_gpu_that_another_program_fills_is_named(driver: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch_build(monkeypatch, "2.13.0")
    answer(driver, "NVIDIA H200, 1000, 143771")
    [problem] = gpu_problems()
    assert problem.found == "NVIDIA H200: 1,000 of 143,771 MiB free"


def test_a_driver_that_fails_is_quoted(driver: Path) -> None:
    answer(driver, "Failed to initialize NVML: Driver/library version mismatch", code=18)
    [problem] = gpu_problems()
    assert problem.found.startswith("Failed to initialize NVML")


def test_a_recipe_that_needs_a_gpu_is_told_where_there_is_none(driver: Path, tmp_path: Path) -> None:
    text = (CHECKOUT / "recipes" / "embedded.yaml").read_text(encoding="utf-8")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "fast.yaml").write_text(
        text.replace("name: embedded", "name: fast").replace("engine: transformers", "engine: vllm"), encoding="utf-8"
    )
    [problem] = doctor._gpu(tmp_path, "fast")
    assert "agent.engine is vllm" in problem.found
    assert list(doctor._gpu(tmp_path, "unknown")) == []


def test_torch_has_a_gpu_where_one_is_listed_and_visible_and_torch_was_built_for_it(
    driver: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    torch_build(monkeypatch, "2.13.0")
    assert not torch_has_gpu(), "no driver"
    answer(driver, "NVIDIA H200, 143000, 143771")
    assert torch_has_gpu()
    for hidden in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert not torch_has_gpu()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert torch_has_gpu()
    torch_build(monkeypatch, "2.13.0+cpu")
    assert not torch_has_gpu()
    torch_build(monkeypatch, "2.13.0")
    answer(driver, "Failed to initialize NVML: Driver/library version mismatch", code=18)
    assert not torch_has_gpu()
