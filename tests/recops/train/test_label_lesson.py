from collections import Counter
from pathlib import Path

import pytest

from recops.agent.label_prompts import LabelPrompts
from recops.agent.label_ranker import label_prompts
from recops.agent.local_policy import LocalPolicy
from recops.records import Sample
from recops.tools.toolbox import Toolbox
from recops.train.label_lesson import LabelLesson, curriculum, text_only
from tests.recops.agent.world import AGENT


@pytest.fixture
def prompts(policy: LocalPolicy, toolbox: Toolbox) -> LabelPrompts:
    return label_prompts(policy, toolbox.store.items, ["category"], AGENT)


@pytest.fixture
def samples(toolbox: Toolbox) -> list[Sample]:
    return [toolbox.store.sample(int(number)) for number in toolbox.store.sample_ids("policy_train")]


def _lesson(samples: list[Sample], prompts: LabelPrompts, *, examples: int, negatives: int = 2) -> LabelLesson:
    share = curriculum(8, examples // 8)
    return LabelLesson(samples, prompts, num_examples=examples, num_negatives=negatives, hybrid_share=share, seed=4)


def test_the_share_of_hybrid_prompts_rises_from_none_to_all() -> None:
    share = curriculum(4, 5)
    assert [share(number) for number in (0, 3, 4, 8, 12, 16, 19)] == [0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert curriculum(4, 1)(0) == 1.0


def test_prompts_are_hybrid_as_often_as_the_curriculum_says(samples: list[Sample], prompts: LabelPrompts) -> None:
    lesson = _lesson(samples, prompts, examples=800)
    hybrid = [any(lesson[number].prompt.items) for number in range(800)]
    thirds = [sum(hybrid[start : start + 200]) / 200 for start in (0, 300, 600)]
    assert thirds == pytest.approx([1 / 8, 1 / 2, 7 / 8], abs=0.1)
    assert not any(hybrid[:8])
    assert all(hybrid[-8:])


def test_an_example_depends_on_its_number_alone(samples: list[Sample], prompts: LabelPrompts) -> None:
    one, other = (_lesson(samples, prompts, examples=40) for _ in range(2))
    backwards = [other[number] for number in reversed(range(40))]
    assert [one[number] for number in range(40)] == backwards[::-1]


def test_labels_of_the_target_are_spread_and_negatives_are_never_the_target(
    samples: list[Sample], prompts: LabelPrompts
) -> None:
    examples = [_lesson(samples, prompts, examples=480, negatives=3)[number] for number in range(480)]
    counts = Counter(example.chosen for example in examples)
    places = [prompts.label_token(place) for place in range(len(samples[0].candidates))]
    assert set(counts) == set(places)
    assert min(counts.values()) > 480 / len(places) / 2
    for example in examples:
        assert len(set(example.rejected)) == 3
        assert example.chosen not in example.rejected
        assert set(example.rejected) <= set(places)


def test_every_sample_is_seen_once_before_any_is_seen_again(samples: list[Sample], prompts: LabelPrompts) -> None:
    lesson = LabelLesson(
        samples, prompts, num_examples=2 * len(samples), num_negatives=0, hybrid_share=text_only, seed=4
    )
    seen = [int(place) for place in lesson._places]
    assert sorted(seen[: len(samples)]) == sorted(seen[len(samples) :]) == list(range(len(samples)))


def test_the_label_that_is_taught_is_that_of_the_target(
    policy_folder: Path, samples: list[Sample], prompts: LabelPrompts
) -> None:
    sample = samples[0]
    lesson = LabelLesson([sample], prompts, num_examples=6, num_negatives=5, hybrid_share=lambda _: 1.0, seed=4)
    for number in range(6):
        example = lesson[number]
        shown = [item for item in example.prompt.items if item][-len(sample.candidates) :]
        assert prompts.label_token(shown.index(sample.target)) == example.chosen
        assert {example.chosen, *example.rejected} == {prompts.label_token(place) for place in range(len(shown))}
