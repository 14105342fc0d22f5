"""The page of the validation opens offline and shows what strangers wrote as text."""

import re
from typing import Any

from recops.data.validation_page import render_validation

REPORT: dict[str, Any] = {
    "quarantine_fraction": {"items": 0.25},
    "dropped": {"exact_repeats": 3, "items_outside_core": 0},
    "expectations": {"total": 1, "critical_failed": 0, "warnings": 1},
    **dict.fromkeys(("num_users", "num_items", "num_interactions", "num_samples"), 1234),
}


def page(**changes: Any) -> str:
    one = {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "<script>alert(1)</script>"},
        "severity": "warning",
        "expected": "one unit of time",
        "success": False,
        "found": [2],
    }
    suite = {"success": False, "rows": 5000, "rows_seen": 100, "sample_seed": 9, "expectations": [{**one, **changes}]}
    warnings = {"items": {"chat_token_in_title": 7, "lost_character_in_title": 0}}
    return render_validation(
        {"suites": {"source": suite}, "quarantine": {"items": {"no_title": 12}}, "warnings": warnings}, REPORT
    )


def test_the_page_tells_results_counts_and_which_rows_were_seen() -> None:
    text = re.sub(r"<[^>]*>|\s+", " ", page())
    for told in ("1 warnings", "no_title 12", "chat_token_in_title 7", "exact_repeats 3", "items 25.000%"):
        assert told in re.sub(r" +", " ", text)
    assert "A sample of 100 of 5,000 rows, seed 9." in text
    assert "lost_character_in_title" not in text


def test_text_is_escaped_and_nothing_is_fetched() -> None:
    html = page()
    assert "<script" not in html
    assert "&lt;script&gt;" in html
    assert not re.search(r"https?://|src=|href=|url\(", html)


def test_a_passed_expectation_is_not_shown_as_a_warning() -> None:
    assert '<td class="passed">passed</td>' in page(success=True)
    assert '<td class="warning">warning</td>' in page()
