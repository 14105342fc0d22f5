import pytest

from recops import progress as module
from recops.progress import progress


def test_a_log_gets_plain_lines_with_facts_and_what_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Training", 4) as meter:
        meter.advance(3)
        meter.advance(1, loss=0.123456, state="good")
    [line] = capsys.readouterr().out.splitlines()
    assert line.startswith("Training: 4/4, ")
    assert line.endswith("0 s left loss=0.1235 state=good")


def test_a_log_gets_a_line_now_and_then_before_the_end(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", -1.0)
    with progress("Training", 3) as meter:
        meter.advance()
        meter.advance()
    assert [line.partition(",")[0] for line in capsys.readouterr().out.splitlines()] == [
        "Training: 1/3",
        "Training: 2/3",
    ]


def test_where_nobody_knows_how_much_there_is_nothing_is_said_to_be_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress("Fetching", None) as meter:
        meter.advance(5)
        assert capsys.readouterr().out == ""
        monkeypatch.setattr(module, "SECONDS_BETWEEN_LINES", -1.0)
        meter.advance(2)
    assert capsys.readouterr().out == "Fetching: 7, 0 s\n"


def test_a_terminal_gets_a_bar_without_an_end_where_nobody_knows_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with progress("Fetching", None) as meter:
        meter.advance(7)
    assert "7/?" in capsys.readouterr().out


def test_a_terminal_gets_a_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with progress("Training", 2) as meter:
        meter.advance(2, loss=1.0)
    out = capsys.readouterr().out
    assert "2/2" in out
    assert "loss=1" in out
