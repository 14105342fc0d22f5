import polars as pl

from recops.evaluate.curves import CALLS_BY_TOOL, sections


def curve(stage: str, **values: list[float]) -> list[dict[str, object]]:
    return [
        {"stage": stage, "name": name, "step": step, "value": value}
        for name, logged in values.items()
        for step, value in enumerate(logged, start=1)
    ]


def test_a_step_without_calls_of_a_tool_is_drawn_as_zero() -> None:
    rows = [*curve("grpo_model", calls=[2.0, 1.0, 2.0]), *curve("ppr_model", calls=[1.0])]
    rows.append({"stage": "grpo_model", "name": "calls/rank_by_next_item", "step": 3, "value": 1.5})
    [(title, lines)] = sections(pl.DataFrame(rows))[CALLS_BY_TOOL].items()
    assert title == "rank_by_next_item"
    assert [(line.name, line.steps, line.values) for line in lines] == [
        ("GRPO", [1, 2, 3], [0.0, 0.0, 1.5]),
        ("PPR", [1], [0.0]),
    ]


def test_a_term_that_is_always_zero_is_not_drawn_and_an_own_term_is() -> None:
    rows = curve("grpo_model", reward=[0.1, 0.2], call_cost=[0.0, 0.0], absent=[0.0, -0.5], kl=[0.0, 0.0])
    rows += curve("grpo_model", **{"own/margin": [0.0, 0.1]})
    drawn = sections(pl.DataFrame(rows))
    assert list(drawn["Reward and its terms"]) == ["Reward", "Absent target", "margin (own)"]
    assert list(drawn["Episodes and groups"]) == ["KL from the stage before"]


def test_the_loss_of_grpo_is_not_drawn() -> None:
    rows = [*curve("sft_checkpoint", loss=[1.0]), *curve("grpo_model", loss=[0.0], reward=[1.0])]
    [line] = sections(pl.DataFrame(rows))["Losses"]["Supervised loss"]
    assert line.name == "SFT"
