"""A copy of the checkout in a folder of its own, with one recipe that is small enough to run in a test."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from recops.tracking import store_uri

if TYPE_CHECKING:
    from mlflow.entities import Run

CHECKOUT = Path(__file__).resolve().parents[2]
RECIPE = "tiny"

# As the default recipe, but few users, few steps, checkpoints early enough to be interrupted at, and a task that the
# policy learns to answer within them (one item of six): GRPO stops when no episode differs from another.
_SMALLER: dict[str, dict[str, Any]] = {
    "agent": {"num_ranked": 1},
    "raw_data": {"source": {"num_users": 200, "num_items": 100, "num_days": 360}},
    "validated_splits": {"validation": {"min_users": 20, "min_items": 20}, "candidates": {"num_candidates": 6}},
    "sasrec_embeddings": {"width": 16, "max_epochs": 2},
    "baselines": {"bootstrap_draws": 100},
    "base_policy": {
        "width": 32,
        "num_layers": 1,
        "num_heads": 2,
        "drill_steps": 80,
        "episode_steps": 80,
        "drill_batch_size": 16,
        "episode_batch_size": 16,
        "checkpoint_steps": 40,
    },
    "expert_episodes": {"num_scripted": 100, "num_self_played": 4, "batch_size": 16},
    "sft_checkpoint": {"steps": 80, "batch_size": 16, "checkpoint_steps": 40, "learning_rate": 0.002},
    "grpo_model": {
        "tool_loop": "trl",
        "steps": 2,
        "samples_per_step": 6,
        "group_size": 6,
        "drop_negative_groups": False,
    },
    "preference_pairs": {"num_samples": 20},
    "ppr_model": {"steps": 2, "samples_per_step": 6, "group_size": 6, "drop_negative_groups": False},
    "llm_baselines": {
        "batch_size": 8,
        "checkpoint_steps": 2,
        "llara": {"steps": 4, "projector_width": 16},
        "s_dpo": {"sft_steps": 4, "steps": 3, "num_negatives": 3},
    },
    "evaluation_reports": {
        "max_samples": 20,
        "max_valid_samples": 10,
        "num_shown_episodes": 2,
        "num_timed_requests": 2,
        "injection": {"num_episodes": 2},
        "bootstrap_draws": 100,
    },
    "promotion": {"num_latency_requests": 2},
}


@dataclass(frozen=True)
class Project:
    """A checkout in which everything may be run and changed."""

    root: Path

    def run(self, *command: str, check: bool = True, timeout: float = 1500) -> subprocess.CompletedProcess[str]:
        """Run a command there, with the environment that the Makefile gives."""
        result = subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=timeout, check=False
        )
        assert not check or result.returncode == 0, f"{command}\n{result.stdout}\n{result.stderr}"
        return result

    def start(self, *command: str) -> subprocess.Popen[str]:
        """Start a command there."""
        pipe = subprocess.PIPE
        return subprocess.Popen(command, cwd=self.root, env=self.environment, stdout=pipe, stderr=pipe, text=True)

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a shell in which `make` was called, without what the test's own shell may have set."""
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("RECOPS_", "DAGSTER_", "MLFLOW_"))
        }
        tools = [str(Path(sys.executable).parent), str(CHECKOUT / ".venv-dvc" / "bin"), kept["PATH"]]
        return {
            **kept,
            "PATH": os.pathsep.join(tools),
            "PYTHONPATH": str(self.root),
            "OMP_NUM_THREADS": "1",
            "DVC_SITE_CACHE_DIR": str(self.root / ".dvc" / "tmp" / "site"),
        }

    def mlflow_runs(self, condition: str = "tags.stage LIKE '%'") -> list["Run"]:
        """Return the runs of the small recipe in MLflow, the newest first: all of its stages', or what is asked for."""
        from mlflow import MlflowClient  # some seconds, which tests that run nothing need not wait

        client = MlflowClient(tracking_uri=store_uri(self.root))
        experiment = client.get_experiment_by_name(RECIPE)
        assert experiment is not None
        return list(client.search_runs([experiment.experiment_id], filter_string=condition))

    def recipe(self) -> dict[str, Any]:
        """The content of the small recipe."""
        return dict(yaml.safe_load(self._recipe_file.read_text(encoding="utf-8")))

    def write_recipe(self, content: dict[str, Any]) -> None:
        """Change the small recipe."""
        self._recipe_file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    @property
    def _recipe_file(self) -> Path:
        return self.root / "recipes" / f"{RECIPE}.yaml"


def tiny_recipe() -> dict[str, Any]:
    """Return the default recipe, made small."""
    content = yaml.safe_load((CHECKOUT / "recipes" / "embedded.yaml").read_text(encoding="utf-8"))
    return {**_merged(content, _SMALLER), "name": RECIPE, "description": "Small enough for a test."}


def _merged(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Nested values of `changes` in the place of those of `content`; each must be there, so that a typo shows."""
    assert changes.keys() <= content.keys(), changes.keys() - content.keys()
    changed = {
        key: _merged(content[key], value) if isinstance(value, dict) else value for key, value in changes.items()
    }
    return {**content, **changed}


def create_project(root: Path) -> Project:
    """Copy what git would commit of this checkout to `root`, as a repository whose only recorded recipe is small."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        source, target = CHECKOUT / name, root / name
        if source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target, follow_symlinks=False)
    project = Project(root)
    project.write_recipe(tiny_recipe())
    (root / "dvc.lock").unlink(missing_ok=True)
    (root / "params.yaml").write_text(f"recipes: [{RECIPE}]\n", encoding="utf-8")
    project.run("python", "-m", "recops.cli", "dvc-yaml")
    commit(project, "A small project")
    return project


def commit(project: Project, message: str) -> None:
    """Commit everything, whoever the machine's git user is."""
    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    project.run("git", *author, "commit", "--quiet", "--allow-empty", "--message", message)
