from typing import Any

import torch
from trl.chat_template_utils import parse_response

from recops.agent.environment import environment_class
from recops.agent.policy import Policy
from recops.agent.prompts import task_messages, tool_schemas
from recops.agent.rollout import play
from recops.config.agent import AgentConfig
from recops.records import Episode, Task
from recops.tools.toolbox import Toolbox
from tests.recops.agent.world import AGENT, all_tasks


def naive(policy: Policy, task: Task, toolbox: Toolbox, agent: AgentConfig) -> Episode:
    """Greedy, one task at a time, no cache: render the whole conversation anew each turn and read all of it."""
    environment = environment_class(toolbox, agent)()
    environment.reset(sample_id=task.sample.sample_id, candidates=list(task.candidates), direction=task.direction)
    prompt, messages, truncated = task_messages(task, toolbox, agent), [], False
    start = len(render(policy, prompt, agent))
    while not truncated:
        ids = render(policy, prompt + messages, agent)
        before = len(ids)
        while ids[-1] not in policy.stop_ids or len(ids) == before:
            if len(ids) - start >= agent.max_completion_tokens:
                truncated = True
                break
            with torch.inference_mode():
                logits = policy.model(torch.tensor([ids])).logits[0, -1]
            ids = [*ids, int(logits.argmax())]
        message = parse_response(policy.tokenizer, ids[before:], prefix=ids[:before])
        messages.append(message)
        if not message.get("tool_calls"):
            break
        answers = [tool_answer(environment, call["function"]) for call in message["tool_calls"]]
        if len(render(policy, prompt + messages + answers, agent)) - start > agent.max_completion_tokens:
            truncated = True
            break
        messages += answers
    return environment.finish(messages, truncated=truncated, num_completion_tokens=len(ids) - start)


def render(policy: Policy, messages: list[dict[str, Any]], agent: AgentConfig) -> list[int]:
    ids: list[int] = policy.tokenizer.apply_chat_template(
        messages, tools=tool_schemas(agent), add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return ids


def tool_answer(environment: Any, function: dict[str, Any]) -> dict[str, Any]:
    try:
        content = getattr(environment, function["name"])(**function["arguments"])
    except Exception as error:
        content = str({"error": str(error)})
    return {"role": "tool", "name": function["name"], "content": content}


def test_greedy_episodes_equal_those_of_a_naive_loop_without_cache(policy: Policy, toolbox: Toolbox) -> None:
    tasks = (all_tasks(toolbox) + all_tasks(toolbox, "less"))[::3]

    played = play(policy, tasks, toolbox, AGENT, temperature=0, seed=1, batch_size=5)

    expected = [naive(policy, task, toolbox, AGENT) for task in tasks]
    assert sum(len(episode.calls) for episode in expected) > len(tasks), (
        "the policy must call tools for this to say much"
    )
    assert [episode.messages for episode in played] == [episode.messages for episode in expected]
    assert played == expected
