import polars as pl

from recops.evaluate.curves import CALLS_BY_TOOL, sections


def curve(stage: str, **values: list[float]) -> list[dict[str, object]]:
    return [
        {"stage": stage, "name": name, "step": step, "value": value}
        for name, logged in values.items()
        for step, value in enumerate(logged, start=1)
    ]


def test_a_tool_that_nobody_called_is_not_drawn_and_a_step_without_calls_is_zero() -> None:
    tools = {"calls/rank_by_next_item": [0.0, 0.0, 1.5], "calls/popularity": [0.0, 0.0, 0.0]}
    rows = [*curve("grpo_model", **tools), *curve("ppr_model", **{name: [0.0] for name in tools})]
    [(title, lines)] = sections(pl.DataFrame(rows))[CALLS_BY_TOOL].items()
    assert title == "rank_by_next_item"
    assert [(line.name, line.steps, line.values) for line in lines] == [
        ("GRPO", [1, 2, 3], [0.0, 0.0, 1.5]),
        ("PPR", [1], [0.0]),
    ]


def test_a_term_that_is_always_zero_is_not_drawn_and_an_own_term_is() -> None:
    rows = curve("grpo_model", reward=[0.1, 0.2], kl=[0.0, 0.0], failed_calls=[0.0, 0.0])
    terms = {"terms/call_cost": [0.0, 0.0], "terms/absent": [0.0, -0.5], "own/margin": [0.0, 0.1]}
    rows += curve("grpo_model", **terms)
    drawn = sections(pl.DataFrame(rows))
    assert list(drawn["Reward and its terms"]) == ["Reward", "Absent target", "margin (own)"]
    assert list(drawn["Episodes and groups"]) == ["Failed calls per episode", "KL from the stage before"]


def test_the_loss_of_grpo_is_not_drawn() -> None:
    rows = [*curve("sft_checkpoint", loss=[1.0]), *curve("grpo_model", loss=[0.0], reward=[1.0])]
    [line] = sections(pl.DataFrame(rows))["Losses"]["Supervised loss"]
    assert line.name == "SFT"
