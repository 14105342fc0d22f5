import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from recops import runner
from recops.agent.own_rewards import own_terms, source_sha256
from recops.agent.prompts import render_answer
from recops.config.agent import AgentConfig
from recops.config.recipe import load_recipe
from recops.errors import InputError
from recops.paths import Layout
from recops.records import Episode, Task, label
from recops.tools.toolbox import Toolbox
from recops.train.episode_log import episode_metrics
from tests.pipeline.project import CHECKOUT, RECIPE, tiny_recipe
from tests.recops.agent.world import AGENT, WEIGHTS, all_tasks, changed, load_toolbox, play_script, write_world
from tests.recops.test_runner import recipe

HEAD = "from recops.agent.own_rewards import Outcome\nfrom recops.tools.context import ToolContext\n\n\n"
FIRST = '    """Whether the target is first."""\n    return float(outcome.ranking[0] == outcome.target)\n'
TERM = f"def first(context: ToolContext, outcome: Outcome) -> float:\n{FIRST}"

Write = Callable[[str], None]


@pytest.fixture(scope="module")
def toolbox(tmp_path_factory: pytest.TempPathFactory) -> Toolbox:
    return load_toolbox(write_world(tmp_path_factory.mktemp("world")))


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write the module `own_terms_of_mine`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def written(code: str) -> None:
        (tmp_path / "own_terms_of_mine.py").write_text(HEAD + code, encoding="utf-8")
        sys.modules.pop("own_terms_of_mine", None)
        own_terms.cache_clear()

    yield written
    written("")
    own_terms.cache_clear()


def paid(**own: float) -> AgentConfig:
    names = {f"own_terms_of_mine.{name}": weight for name, weight in own.items()}
    return changed(AGENT, reward=WEIGHTS.model_copy(update={"own": names}))


def gold(task: Task) -> str:
    """The answer that puts the target first."""
    items = [task.sample.target, *(item for item in task.candidates if item != task.sample.target)]
    return render_answer([label(task.candidates.index(item)) for item in items[: AGENT.num_ranked]])


def play(toolbox: Toolbox, task: Task, answer: str, agent: AgentConfig) -> Episode:
    return play_script(task, toolbox, answer, agent=agent)


def test_a_term_is_a_weighted_part_of_the_reward(toolbox: Toolbox, write: Write) -> None:
    write(TERM)
    task = all_tasks(toolbox)[0]
    episode = play(toolbox, task, gold(task), paid(first=0.3))
    assert episode.rewards["own/first"] == 0.3
    assert episode.reward == pytest.approx(1.3)
    others = [
        name
        for name in map(label, range(len(task.candidates)))
        if label(task.candidates.index(task.sample.target)) != name
    ]
    missed = play(toolbox, task, render_answer(others[: AGENT.num_ranked]), paid(first=0.3))
    assert missed.rewards["own/first"] == 0.0


def test_it_is_not_asked_about_invalid_answers_and_pairs(toolbox: Toolbox, write: Write) -> None:
    write('def loud(context: ToolContext, outcome: Outcome) -> float:\n    """Never."""\n    raise RuntimeError\n')
    agent, task, pair = paid(loud=1.0), all_tasks(toolbox)[0], all_tasks(toolbox, "more")[0]
    assert play(toolbox, task, "nothing", agent).rewards["own/loud"] == 0.0
    assert play(toolbox, pair, render_answer(["A"]), agent).rewards["own/loud"] == 0.0
    with pytest.raises(RuntimeError):
        play(toolbox, task, gold(task), agent)


def test_it_sees_the_moment_the_answer_and_the_calls(toolbox: Toolbox, write: Write) -> None:
    write(
        "def seen(context: ToolContext, outcome: Outcome) -> float:\n"
        '    """Checks what it is given."""\n'
        "    assert context.task.sample.target == 0 and outcome.target in context.candidates\n"
        "    assert context.item_id(outcome.ranking[0]).startswith('i')\n"
        "    return len(outcome.tools) / 10\n"
    )
    task = all_tasks(toolbox)[0]
    calls = [("get_user_profile", {}), ("rank_by_next_item", {})]
    episode = play_script(task, toolbox, gold(task), agent=paid(seen=1.0), calls=calls)
    assert episode.rewards["own/seen"] == pytest.approx(0.2)


@pytest.mark.parametrize("value", ["float('nan')", "1.5", "-2", "True", "'1'", "None"])
def test_what_is_no_number_from_minus_one_to_one_stops_the_stage(toolbox: Toolbox, write: Write, value: str) -> None:
    write(f'def bad(context: ToolContext, outcome: Outcome) -> float:\n    """Bad."""\n    return {value}\n')
    task = all_tasks(toolbox)[0]
    with pytest.raises(ValueError, match=r"own/bad returned .*from -1 to 1"):
        play(toolbox, task, gold(task), paid(bad=1.0))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("other = 1\n", "no first in own_terms_of_mine"),
        ("first = 3\n", "a int; expected a function"),
        (f"def first(outcome: Outcome) -> float:\n{FIRST}", r"first\(outcome.*expected \(context"),
        (f"def first(context: ToolContext, outcome: Outcome) -> str:\n{FIRST}", "-> str"),
        (f"def first(context: 'Nothing', outcome: Outcome) -> float:\n{FIRST}", "cannot be resolved"),
        ("def first(context: ToolContext, outcome: Outcome) -> float:\n    return 1.0\n", "no docstring"),
        ("raise RuntimeError('no licence')\n", "RuntimeError: no licence"),
    ],
)
def test_what_cannot_be_a_term_is_refused_with_the_reason(write: Write, code: str, words: str) -> None:
    write(code)
    with pytest.raises(InputError, match=f"agent.reward.own: found .*{words}"):
        own_terms(("own_terms_of_mine.first",))


def test_two_terms_of_one_name_and_an_unknown_one_are_refused(write: Write, tmp_path: Path) -> None:
    write(TERM)
    (tmp_path / "own_terms_as_well.py").write_text(HEAD + TERM, encoding="utf-8")
    with pytest.raises(InputError, match="a second first"):
        own_terms(("own_terms_of_mine.first", "own_terms_as_well.first"))
    with pytest.raises(InputError, match=r"found margin; expected names of known terms\. Known terms: none"):
        own_terms(("margin",))


def test_the_code_behind_a_term_is_a_fact_of_the_stages_that_use_rewards(write: Write, tmp_path: Path) -> None:
    write(TERM)
    rewards = {**tiny_recipe()["agent"]["reward"], "own": {"own_terms_of_mine.first": 0.1}}
    own = recipe(agent={**tiny_recipe()["agent"], "reward": rewards})
    layout = Layout(tmp_path, RECIPE)
    runner.run_stage("raw_data", recipe=own, layout=layout)
    facts = [runner.stage_facts(name, own, layout) for name in ("base_policy", "raw_data")]
    assert list(facts[0]["own_rewards"]) == ["first"]
    assert facts[1]["own_rewards"] == {}
    before = source_sha256(["own_terms_of_mine.first"])
    write(TERM + "# changed\n")
    assert source_sha256(["own_terms_of_mine.first"]) != before


def test_its_curve_is_the_mean_over_list_wise_tasks(toolbox: Toolbox, write: Write) -> None:
    write(TERM)
    task, pair = all_tasks(toolbox)[0], all_tasks(toolbox, "more")[0]
    agent = paid(first=0.5)
    episodes = [play(toolbox, task, gold(task), agent), play(toolbox, pair, render_answer(["A"]), agent)]
    numbers = episode_metrics(episodes, 1, AGENT.tools)
    assert (numbers["own/first"], numbers["terms/own/first"]) == (0.5, 0.25)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The worked example, installed with pip into a folder of its own, as a user would install it."""
    root = tmp_path_factory.mktemp("own")
    source = shutil.copytree(CHECKOUT / "examples" / "shop_rewards", root / "source")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*command, "--target", str(root / "site"), str(source)], check=True, capture_output=True, text=True)
    return root / "site"


def test_the_example_pays_for_margin(
    installed: Path, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    own_terms.cache_clear()
    agent = changed(AGENT, reward=WEIGHTS.model_copy(update={"own": {"margin_gain": 1.0}}))
    task = all_tasks(toolbox)[0]
    monkeypatch.delenv("MARGINS_FILE", raising=False)
    with pytest.raises(InputError, match="export MARGINS_FILE="):
        play(toolbox, task, gold(task), agent)
    rows = [f"i{item},{0.1 * place}" for place, item in enumerate(task.candidates)]
    (tmp_path / "margins.csv").write_text("\n".join(["item_id,margin", *rows]), encoding="utf-8")
    monkeypatch.setenv("MARGINS_FILE", str(tmp_path / "margins.csv"))
    dearest = render_answer([label(place) for place in (5, 4, 3, 2)])
    assert play(toolbox, task, dearest, agent).rewards["own/margin_gain"] == pytest.approx(1.0)
    cheapest = render_answer([label(place) for place in (0, 1, 2, 3)])
    assert play(toolbox, task, cheapest, agent).rewards["own/margin_gain"] == pytest.approx(0.3 / 1.2)
    assert isinstance(sys.modules["shop_rewards"], ModuleType)


EXAMPLE = CHECKOUT / "examples" / "shop_rewards" / "shop_rewards.yaml"


def test_the_recipe_of_the_example_is_the_default_one_with_terms_of_the_shop() -> None:
    default = load_recipe(CHECKOUT / "recipes" / "embedded.yaml")
    ours = load_recipe(EXAMPLE)
    reward = default.agent.reward.model_copy(update={"own": {"price_gain": 0.2, "variety": 0.05}})
    changes = {"name": ours.name, "description": ours.description, "agent": changed(default.agent, reward=reward)}
    assert ours == default.model_copy(update=changes)


def test_the_recipe_of_the_example_pays_for_price_and_variety(
    installed: Path, toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    own_terms.cache_clear()
    agent = changed(AGENT, reward=load_recipe(EXAMPLE).agent.reward)
    task = all_tasks(toolbox)[0]
    assert task.candidates == (2, 7, 22, 13, 19, 25)  # the price is the number; 2 and 22 are of two categories
    assert task.sample.target == 22
    episode = play(toolbox, task, render_answer(["D", "C", "A", "B"]), agent)
    assert episode.rewards["ndcg"] == pytest.approx(0.63093)  # second place: 1 / log2(3)
    assert episode.rewards["own/price_gain"] == pytest.approx(0.2 * 0.63093 * 22 / 25, abs=1e-5)
    assert episode.rewards["own/variety"] == pytest.approx(0.05 * 2 / 3)
    assert episode.reward == pytest.approx(0.77530, abs=1e-5)
    absent = play(toolbox, task, render_answer(["A", "B", "D", "E"]), agent)
    assert absent.rewards["own/price_gain"] == 0.0
    assert absent.reward == pytest.approx(-0.5 + 0.05 * 2 / 3)
