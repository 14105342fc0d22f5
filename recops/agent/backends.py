"""Opens the folder of a trained policy with the engine that the recipe names."""

from pathlib import Path

from recops.agent.local_policy import LocalPolicy
from recops.agent.policy import Policy
from recops.agent.vllm_policy import VllmPolicy
from recops.config.agent import Engine


def load_policy(folder: Path, engine: Engine) -> Policy:
    """Return a policy that plays; `transformers` runs everywhere, `vllm` where it is installed.

    Raises:
        InputError: the folder is no policy, or vLLM is asked for and not installed.
    """
    return VllmPolicy.load(folder) if engine == "vllm" else LocalPolicy.load(folder)
