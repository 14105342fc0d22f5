from pathlib import Path

from tests.recops.agent.episodes_page import BLOCK, PAGE, episodes


def test_the_page_shows_episodes_as_they_are_played_now(folders: tuple[Path, Path]) -> None:
    shown = BLOCK.search(PAGE.read_text(encoding="utf-8"))

    assert shown, f"{PAGE} has no block of episodes"
    assert shown[0] == episodes(folders), "run python -m tests.recops.agent.episodes_page"
