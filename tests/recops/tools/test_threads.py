import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from recops.tools import toolbox as toolbox_module
from tests.recops.tools.calls import CALLS
from tests.recops.tools.shop import load_shop, tasks


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns a thousand times more often, so that what may go wrong between two lines does."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_a_pool_of_threads_shares_a_toolbox_and_gets_the_answers_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolbox_module, "_CACHED_ANSWERS", 2)  # so that answers are dropped while others are read
    alone, shared = load_shop(tmp_path / "alone"), load_shop(tmp_path / "shared")
    questions = [(task, call) for task in tasks(alone)[::3] for call in CALLS]
    expected = [alone.call(task, *call) for task, call in questions]
    order = np.random.default_rng(0).permutation(np.repeat(np.arange(len(questions)), 3))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda number: shared.call(questions[number][0], *questions[number][1]), order.tolist()))

    assert found == [expected[number] for number in order]
