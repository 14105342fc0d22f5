"""What plays episodes: the one interface of a trained model here, an engine such as vLLM, and an endpoint elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from recops.agent.times import Times
from recops.config.agent import AgentConfig
from recops.records import Episode, Task
from recops.tools.toolbox import Toolbox


@dataclass(frozen=True, slots=True)
class Sampling:
    """How turns are written.

    Attributes:
        temperature: 0 is greedy.
        seed: of the draws; equal seeds give equal episodes where the model runs here.
        batch_size: how many episodes run at a time.
        constrain_answers: whether an answer, once it has begun, can only become a valid list.
        times: takes when each turn of each task was written, where somebody wants to know.
    """

    temperature: float
    seed: int
    batch_size: int
    constrain_answers: bool
    times: Times | None = None


class Policy(Protocol):
    """Plays tasks. `recops.agent.rollout.play` is the door, which checks first that no item text can forge a turn."""

    @property
    def control_tokens(self) -> tuple[str, ...]:
        """What no item text may spell."""

    def count_tokens(self, text: str) -> int:
        """Return how many tokens a text has for the policy, or an upper bound."""

    def episodes(
        self, tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig, sampling: Sampling
    ) -> list[Episode]:
        """Return one episode per task, in the order of the tasks.

        Raises:
            InputError: a prompt does not fit the model, or the sampling asks for what the backend cannot do.
            RuntimeError: a tool failed by our mistake.
        """
