import pytest

from recops.agent.local_policy import LocalPolicy
from recops.agent.prompts import answer_message, call_message, prompt_messages, tool_message
from recops.train.conversations import IGNORED, encode_conversations

CONVERSATION = [
    *prompt_messages("Rank.", history=["Tools"], num_candidates=3, candidates=[], system="Rank."),
    call_message("rank_by_next_item", {}),
    tool_message("rank_by_next_item", "Order: C A B"),
    answer_message(["C", "A"]),
]


def test_only_what_the_assistant_wrote_carries_a_label(policy: LocalPolicy) -> None:
    [(ids, labels)] = encode_conversations(policy.tokenizer, [CONVERSATION], [])
    learned = policy.tokenizer.decode([token for token in labels if token != IGNORED])
    assert "Order:" in policy.tokenizer.decode(ids)
    assert "Order:" not in learned
    assert "Candidates:" not in learned
    assert learned.startswith("I ask what follows this history.\n<tool_call>")
    assert learned.endswith("Answer: C A<|im_end|>\n")


def test_a_template_without_marks_is_refused(policy: LocalPolicy) -> None:
    policy.tokenizer.chat_template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    with pytest.raises(ValueError, match="no assistant token"):
        encode_conversations(policy.tokenizer, [CONVERSATION], [])
