"""The final message of an episode, read strictly: a ranking, or the reason why there is none."""

from recops.config.agent import AgentConfig
from recops.records import Answer, AnswerError, Task, label

PREFIX = "Answer:"


def num_expected(task: Task, agent: AgentConfig) -> int:
    """Return how many labels a valid answer has: one for a pair, else as many as are ranked."""
    return min(agent.num_ranked, len(task.candidates)) if task.direction == "rank" else 1


def parse_answer(text: str, task: Task, agent: AgentConfig) -> Answer:
    """Return the items that the last line starting with `Answer:` names, best first, or why it is invalid."""
    lines = [line for line in text.splitlines() if line.startswith(PREFIX)]
    if not lines:
        return invalid(AnswerError.NO_ANSWER)
    items = {label(place): item for place, item in enumerate(task.candidates)}
    names = lines[-1].removeprefix(PREFIX).split()
    if any(name not in items for name in names):
        return invalid(AnswerError.FOREIGN_LABEL)
    if len(set(names)) != len(names):
        return invalid(AnswerError.REPEATED_LABEL)
    if len(names) != num_expected(task, agent):
        return invalid(AnswerError.WRONG_LENGTH)
    return Answer(tuple(items[name] for name in names), None)


def invalid(error: AnswerError) -> Answer:
    """Return an answer that ranks nothing."""
    return Answer((), error)
