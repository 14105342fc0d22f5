"""Opens a policy: a folder with the engine that the recipe names, or an endpoint."""

from pathlib import Path

from recops.agent.endpoint_policy import EndpointPolicy
from recops.agent.local_policy import LocalPolicy
from recops.agent.policy import Policy
from recops.agent.vllm_policy import VllmPolicy
from recops.config.agent import Engine
from recops.config.endpoint import EndpointConfig


def load_policy(source: Path | EndpointConfig, engine: Engine) -> Policy:
    """Return a policy that plays; of a folder `transformers` runs everywhere, `vllm` where it is installed.

    Raises:
        InputError: the folder is no policy, vLLM is asked for and not installed, or the endpoint's address is none.
    """
    if isinstance(source, EndpointConfig):
        return EndpointPolicy(source)
    return VllmPolicy.load(source) if engine == "vllm" else LocalPolicy.load(source)
