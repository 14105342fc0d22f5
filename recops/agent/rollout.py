"""Plays many tasks at once with a policy: the loop of mining, self-play, evaluation and use.

It gives the episodes that TRL's own tool loop gives (a test plays both), several times faster: keys and values stay
between turns, a slot that becomes free takes the next task, and what episodes share (the beginning of all prompts; in a
group the prompt, and mostly the first calls) is computed once.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from recops.agent.player import Rollout
from recops.agent.policy import Policy, Sampling
from recops.agent.slots import play_in_slots
from recops.agent.times import Times
from recops.config.agent import AgentConfig
from recops.errors import InputError
from recops.records import Episode, Task
from recops.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from recops.agent.local_policy import LocalPolicy


def play(
    policy: Policy,
    tasks: Sequence[Task],
    toolbox: Toolbox,
    agent: AgentConfig,
    *,
    temperature: float,
    seed: int,
    batch_size: int,
    constrain_answers: bool = False,
    times: Times | None = None,
) -> list[Episode]:
    """Return one episode per task, in the order of the tasks, whatever the policy is.

    Args:
        policy: plays.
        tasks: what is asked; a task given twice is played twice, with other random numbers.
        toolbox: answers the calls.
        agent: tools, prompts, limits and rewards.
        temperature: of sampling; 0 is greedy.
        seed: of sampling. Equal seeds give equal episodes whatever the batch size, up to rounding of the model.
        batch_size: how many episodes run at a time.
        constrain_answers: whether an answer that has begun can only become a valid list.
        times: takes when each turn of each task was written, where the caller wants to know.

    Raises:
        InputError: an item's text could spell a control token of the policy's tokenizer, or a prompt does not fit.
        RuntimeError: a tool failed by our mistake.
    """
    if not tasks:
        return []
    _prepare(policy, tasks, toolbox)
    sampling = Sampling(temperature, seed, batch_size, constrain_answers, times)
    return policy.episodes(tasks, toolbox, agent, sampling)


def rollouts(
    policy: "LocalPolicy",
    tasks: Sequence[Task],
    toolbox: Toolbox,
    agent: AgentConfig,
    *,
    temperature: float,
    seed: int,
    batch_size: int,
    constrain_answers: bool = False,
    times: Times | None = None,
) -> list[Rollout]:
    """Return one episode per task with its tokens, in the order of the tasks; arguments and errors as `play`.

    A model in training mode is put back into it.
    """
    if not tasks:
        return []
    _prepare(policy, tasks, toolbox)
    sampling = Sampling(temperature, seed, batch_size, constrain_answers, times)
    return play_in_slots(policy, tasks, toolbox, agent, sampling)


def _prepare(policy: Policy, tasks: Sequence[Task], toolbox: Toolbox) -> None:
    """Check that no item text can forge a turn, and compute the states of the samples at once."""
    passed = toolbox.sanitizer.passed(policy.control_tokens)
    if passed:
        step = "Load the toolbox with control_tokens=policy.control_tokens."
        raise InputError("toolbox", found=f"{', '.join(passed)} may pass", expected="no control token", next_step=step)
    toolbox.evidence.prepare(sorted({task.sample.sample_id for task in tasks if task.sample.sample_id >= 0}))
