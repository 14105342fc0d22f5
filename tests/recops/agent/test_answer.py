from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import recops
from recops.agent.answer import num_expected, parse_answer
from recops.records import AnswerError, Sample, Task
from tests.recops.agent.world import AGENT, changed

SAMPLE = Sample(0, 0, 30, 0, "policy_train", (10, 20, 30, 40, 50), (), True)
TASK = Task(SAMPLE, SAMPLE.candidates, "rank")
PAIR = Task(SAMPLE, (30, 10), "less")


def test_the_last_answer_line_counts() -> None:
    text = "I know enough.\nAnswer: A B C D\nNo.\nAnswer: C A B E\nthe end"

    assert parse_answer(text, TASK, AGENT).ranking == (30, 10, 20, 50)
    assert parse_answer("Answer: B", PAIR, AGENT).ranking == (10,)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", AnswerError.NO_ANSWER),
        ("My Answer: A B C D", AnswerError.NO_ANSWER),
        ("Answer:", AnswerError.WRONG_LENGTH),
        ("Answer: A B C", AnswerError.WRONG_LENGTH),
        ("Answer: A B C D E", AnswerError.WRONG_LENGTH),
        ("Answer: A B C C", AnswerError.REPEATED_LABEL),
        ("Answer: A B C Z", AnswerError.FOREIGN_LABEL),
        ("Answer: A, B, C, D", AnswerError.FOREIGN_LABEL),
        ("Answer: a b c d", AnswerError.FOREIGN_LABEL),
    ],
)
def test_an_invalid_answer_says_why_and_ranks_nothing(text: str, error: AnswerError) -> None:
    answer = parse_answer(text, TASK, AGENT)

    assert (answer.error, answer.ranking) == (error, ())


def test_a_pair_takes_one_label_only() -> None:
    assert parse_answer("Answer: A B", PAIR, AGENT).error == AnswerError.WRONG_LENGTH
    assert parse_answer("Answer: C", PAIR, AGENT).error == AnswerError.FOREIGN_LABEL


@given(
    st.lists(st.one_of(st.text(max_size=8), st.sampled_from(["Answer:", " A", " B", " E", "\n", " Z"]))).map("".join)
)
def test_every_text_is_a_ranking_or_has_a_reason(text: str) -> None:
    answer = parse_answer(text, TASK, AGENT)

    assert (answer.error is None) == bool(answer.ranking)
    assert answer.error is None or answer.error in AnswerError
    assert len(set(answer.ranking)) == len(answer.ranking) == (0 if answer.error else AGENT.num_ranked)
    assert set(answer.ranking) <= set(TASK.candidates)


def test_there_is_one_reader_of_answers() -> None:
    """Reward, report and recommendation ask the environment, and it alone asks the parser."""
    root = Path(recops.__file__).parent
    readers = {str(path.relative_to(root)) for path in root.rglob("*.py") if "parse_answer" in path.read_text("utf-8")}
    cutters = {
        str(path.relative_to(root)) for path in root.rglob("*.py") if "removeprefix(PREFIX" in path.read_text("utf-8")
    }

    assert readers == {"agent/answer.py", "agent/environment.py"}
    assert cutters == {"agent/answer.py"}


def test_no_more_labels_are_expected_than_there_are_candidates() -> None:
    assert [num_expected(TASK, changed(num_ranked=count)) for count in (1, 5, 10)] == [1, 5, 5]
