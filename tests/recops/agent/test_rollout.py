import copy
import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer
from trl.chat_template_utils import parse_response

from recops.agent.chat import Chat
from recops.agent.decoder import Decoder
from recops.agent.environment import REPEATED, environment_class
from recops.agent.local_policy import LocalPolicy
from recops.agent.player import Player
from recops.agent.prompts import call_message, task_messages, tool_message, tool_schemas
from recops.agent.rollout import play, rollouts
from recops.config.agent import AgentConfig
from recops.errors import InputError
from recops.records import AnswerError, Episode, Task
from recops.tools.toolbox import Toolbox
from recops.train.grpo import dataset_rows
from tests.recops.agent.world import AGENT, alike, all_tasks, changed, tiny_policy


def naive(policy: LocalPolicy, task: Task, toolbox: Toolbox, agent: AgentConfig) -> Episode:
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
        if len(ids) == before:
            break
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


def render(policy: LocalPolicy, messages: list[dict[str, Any]], agent: AgentConfig) -> list[int]:
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


def test_greedy_episodes_equal_those_of_a_naive_loop_without_cache(toolbox: Toolbox) -> None:
    tasks = (all_tasks(toolbox) + all_tasks(toolbox, "less"))[::3]
    policy = tiny_policy(toolbox, steps=40)  # Trained for longer it calls less.

    played = play(policy, tasks, toolbox, AGENT, temperature=0, seed=1, batch_size=5)

    expected = [naive(policy, task, toolbox, AGENT) for task in tasks]
    assert sum(len(episode.calls) for episode in expected) > len(tasks), (
        "the policy must call tools for this to say much"
    )
    assert [episode.messages for episode in played] == [episode.messages for episode in expected]
    assert played == expected


def test_greedy_episodes_equal_those_of_trls_own_tool_loop(
    policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path
) -> None:
    tasks = [*all_tasks(toolbox)[:6], *all_tasks(toolbox, "more")[:2]]

    in_trl, tokens = play_in_trl(policy, tasks, toolbox, AGENT, tmp_path)

    played = rollouts(policy, tasks, toolbox, AGENT, temperature=0, seed=1, batch_size=3)
    assert sum(len(episode.calls) for episode in in_trl.values()) >= len(tasks)
    assert {rollout.episode.task: rollout.episode for rollout in played} == in_trl
    assert {rollout.episode.task: rollout.completion_ids for rollout in played} == tokens


def test_an_opening_is_prompt_and_the_policy_plays_on_from_there(policy: LocalPolicy, toolbox: Toolbox) -> None:
    task = all_tasks(toolbox)[0]
    answer = toolbox.call(task, "rank_by_next_item", {})
    opening = (call_message("rank_by_next_item", {}), tool_message("rank_by_next_item", answer))
    opened = dataclasses.replace(task, opening=opening)

    plain, begun = rollouts(policy, [task, opened], toolbox, AGENT, temperature=0, seed=1, batch_size=2)

    assert begun.prompt_ids == render(policy, [*task_messages(task, toolbox, AGENT), *opening], AGENT)
    assert begun.prompt_ids[: len(plain.prompt_ids)] == plain.prompt_ids
    assert begun.episode.num_completion_tokens == len(begun.completion_ids)
    assert not [message for message in begun.episode.messages if message in opening]


def play_in_trl(
    policy: LocalPolicy, tasks: list[Task], toolbox: Toolbox, agent: AgentConfig, folder: Path
) -> tuple[dict[Task, Episode], dict[Task, list[int]]]:
    """Let GRPOTrainer play one greedy step that trains nothing, and score with the environments, as training does."""
    episodes, tokens = {}, {}

    def reward(completions: Any, completion_ids: Any, environments: Any, **_: Any) -> list[float]:
        for environment, messages, ids in zip(environments, completions, completion_ids, strict=True):
            truncated = ids[-1] not in policy.stop_ids
            episode = environment.finish(messages, truncated=truncated, num_completion_tokens=len(ids))
            episodes[episode.task] = episode
            tokens[episode.task] = list(ids)
        return [float(place) for place in range(len(completions))]

    arguments = GRPOConfig(
        output_dir=str(folder), max_steps=1, learning_rate=0.0, per_device_train_batch_size=2 * len(tasks),
        num_generations=2, max_completion_length=agent.max_completion_tokens, generation_kwargs={"do_sample": False},
        use_cpu=True, bf16=False, report_to="none", save_strategy="no", disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    GRPOTrainer(
        model=copy.deepcopy(policy.model),
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list(dataset_rows(tasks, toolbox, agent)),
        processing_class=policy.tokenizer,
        environment_factory=environment_class(toolbox, agent),
    ).train()
    return episodes, tokens


def test_tight_limits_end_episodes_as_trl_does(policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path) -> None:
    tasks = all_tasks(toolbox)[:6]
    ends = set()
    for limit in (16, 20, 24, 28):
        agent = changed(max_completion_tokens=limit)
        in_trl, _ = play_in_trl(policy, tasks, toolbox, agent, tmp_path)
        played = play(policy, tasks, toolbox, agent, temperature=0, seed=1, batch_size=6)
        assert {episode.task: episode for episode in played} == in_trl
        ends |= {(episode.answer.error, episode.messages[-1]["role"]) for episode in played}
    assert {error for error, _ in ends} >= {AnswerError.TRUNCATED}


def test_sampled_episodes_do_not_depend_on_the_batch_and_are_their_seeds(policy: LocalPolicy, toolbox: Toolbox) -> None:
    tasks = all_tasks(toolbox)[:10]

    def sampled(seed: int, batch_size: int) -> list[Episode]:
        return play(policy, tasks, toolbox, AGENT, temperature=1.0, seed=seed, batch_size=batch_size)

    assert sampled(1, 4) == sampled(1, 10)
    assert sampled(1, 4) != sampled(2, 4)


def test_the_same_task_twice_is_played_twice_with_other_random_numbers(policy: LocalPolicy, toolbox: Toolbox) -> None:
    task = all_tasks(toolbox)[0]

    played = play(policy, [task] * 12, toolbox, AGENT, temperature=1.0, seed=1, batch_size=12)

    assert len({str(episode.messages) for episode in played}) > 6


def test_what_episodes_of_a_group_share_is_read_once(
    policy: LocalPolicy, toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, other = all_tasks(toolbox)[:2]
    fed: list[int] = []
    feed = Decoder.feed

    def counting(decoder: Decoder, slots: list[int], tokens: list[list[int]]) -> torch.Tensor:
        fed.append(sum(map(len, tokens)))
        return feed(decoder, slots, tokens)

    monkeypatch.setattr(Decoder, "feed", counting)

    def tokens_read(tasks: list[Task], temperature: float) -> tuple[int, list[Episode]]:
        fed.clear()
        played = play(policy, tasks, toolbox, AGENT, temperature=temperature, seed=1, batch_size=12)
        return sum(fed), played

    once, [alone] = tokens_read([task], 0.0)
    often, played = tokens_read([task] * 12, 0.0)
    assert often == once
    assert played == [alone] * 12
    different, _ = tokens_read([task] * 12, 1.0)
    assert once < different < 12 * once
    assert tokens_read([task, other] * 2, 0.0)[0] > once


def test_sampling_follows_the_models_probabilities(policy: LocalPolicy, toolbox: Toolbox) -> None:
    task = all_tasks(toolbox)[0]
    prompt = render(policy, task_messages(task, toolbox, AGENT), AGENT)
    with torch.inference_mode():
        expected = torch.softmax(policy.model(torch.tensor([prompt])).logits[0, -1] / 2.0, dim=-1)

    played = rollouts(policy, [task] * 600, toolbox, AGENT, temperature=2.0, seed=1, batch_size=200)

    counts = Counter(rollout.completion_ids[0] for rollout in played)
    token, count = counts.most_common(1)[0]
    spread = 4 * float((expected[token] * (1 - expected[token]) / 600) ** 0.5)
    assert count / 600 == pytest.approx(float(expected[token]), abs=spread)
    assert len(counts) > 3


def test_tokens_of_tools_are_marked_as_not_the_models(policy: LocalPolicy, toolbox: Toolbox) -> None:
    played = rollouts(policy, all_tasks(toolbox)[:6], toolbox, AGENT, temperature=0, seed=1, batch_size=6)

    for rollout in played:
        ours = [token for token, mine in zip(rollout.completion_ids, rollout.is_models, strict=True) if not mine]
        text = policy.tokenizer.decode(ours)
        answers = [message["content"] for message in rollout.episode.messages if message["role"] == "tool"]
        assert text.count("<tool_response>") == len(answers) > 0
        assert all(answer in text for answer in answers)
        assert "Answer:" not in text


def test_no_task_is_no_episode_and_a_training_model_stays_one(policy: LocalPolicy, toolbox: Toolbox) -> None:
    assert play(policy, [], toolbox, AGENT, temperature=0, seed=1, batch_size=4) == []
    policy.model.train()
    play(policy, all_tasks(toolbox)[:1], toolbox, AGENT, temperature=0, seed=1, batch_size=4)
    assert policy.model.training
    policy.model.eval()


def test_samples_that_no_artefact_holds_are_played_and_not_mixed_up(policy: LocalPolicy, toolbox: Toolbox) -> None:
    stored = all_tasks(toolbox)[:4]
    new = [alike(task, sample_id=-1, target=0) for task in stored]

    played = play(policy, new, toolbox, AGENT, temperature=0, seed=1, batch_size=2)

    for task, episode in zip(new, played, strict=True):
        assert episode.task == task
        fresh = Toolbox(toolbox.evidence, AGENT)
        calls = [call for call in episode.calls if call.answer != REPEATED]
        assert [call.answer for call in calls] == [fresh.call(task, call.tool, call.arguments) for call in calls]
    assert any(episode.calls for episode in played)


def test_a_mistake_of_ours_stops_the_rollout(
    policy: LocalPolicy, toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("next_item", "text_similarity", "popularity", "similar_users"):
        monkeypatch.setattr(type(toolbox.evidence), name, lambda *_: 1 / 0)
    fresh = Toolbox(toolbox.evidence, AGENT)

    with pytest.raises(ZeroDivisionError):
        play(policy, all_tasks(toolbox), fresh, AGENT, temperature=0, seed=1, batch_size=8)


def test_a_policy_whose_control_tokens_a_title_could_spell_is_refused(policy: LocalPolicy, toolbox: Toolbox) -> None:
    tokenizer = copy.deepcopy(policy.tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[INST]"]})
    other = LocalPolicy(policy.model, tokenizer)
    tasks = all_tasks(toolbox)[:1]

    with pytest.raises(InputError, match=r"\[INST\] may pass.*control_tokens=policy.control_tokens"):
        play(other, tasks, toolbox, AGENT, temperature=0, seed=1, batch_size=1)

    safe = Toolbox(toolbox.evidence, AGENT, control_tokens=other.control_tokens)
    assert len(play(other, tasks, safe, AGENT, temperature=0, seed=1, batch_size=1)) == 1


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("<tool_call>\n{not json}\n</tool_call>", AnswerError.NO_ANSWER),
        ('<tool_call>\n{"name": "rank_by_magic", "arguments": {}}\n</tool_call>', AnswerError.UNKNOWN_TOOL),
        ('<tool_call>\n{"name": "rank_by_next_item", "arguments": {"x": 1}}\n</tool_call>', AnswerError.BAD_ARGUMENT),
        ('<tool_call>\n{"name": "rank_by_next_item", "arguments": [1]}\n</tool_call>', AnswerError.BAD_ARGUMENT),
        ('<tool_call>\n{"name": 3, "arguments": {}}\n</tool_call>', AnswerError.NO_ANSWER),
        ('<tool_call>\n["rank_by_next_item"]\n</tool_call>', AnswerError.NO_ANSWER),
        ("", AnswerError.NO_ANSWER),
    ],
)
def test_a_malformed_call_is_an_error_of_the_answer_and_no_crash(
    text: str, error: AnswerError, policy: LocalPolicy, toolbox: Toolbox
) -> None:
    task = all_tasks(toolbox)[0]
    environment = environment_class(toolbox, AGENT)()
    environment.reset(sample_id=task.sample.sample_id, candidates=list(task.candidates), direction="rank")
    chat = Chat(policy.tokenizer, tool_schemas(AGENT))
    player = Player(0, environment, [1, 2, 3], limit=200)
    for token in policy.tokenizer(text + "<|im_end|>", add_special_tokens=False)["input_ids"]:
        player.take(token)

    answers = player.close_turn(chat.parse(*player.turn()))
    if answers:
        player.open_turn(answers, *chat.tool_turns([answers]))
        player.close_turn({"role": "assistant", "content": "Answer: A B C D"})

    assert player.rollout().episode.answer.error == error
