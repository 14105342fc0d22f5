"""A person at the pages of Dagster and MLflow: graph, materialization, the way to its run, comparison, trial."""

import json
import re

import pytest
from mlflow import MlflowClient
from playwright.sync_api import Page, expect

from recops.stage import STAGE_NAMES
from recops.tracking import store_uri
from tests.browser.conftest import Servers
from tests.pipeline.project import RECIPE

pytestmark = pytest.mark.timeout(1800)

GROUPS = ("data", "retrieval", "policy", "evaluation", "registry")
MILLISECONDS_TO_RUN = 300_000
"""A run waits for the daemon, then for a process that loads the code location, then for the stage's."""


def wait_until_run_ends_well(page: Page) -> None:
    expect(page.get_by_text(re.compile(r"^(Success|Failure|Canceled)$")).first).to_be_visible(
        timeout=MILLISECONDS_TO_RUN
    )
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()


def test_the_graph_shows_groups_and_assets(page: Page, servers: Servers) -> None:
    page.set_viewport_size({"width": 1750, "height": 1250})
    page.goto(f"{servers.dagster}/asset-groups")
    for group in GROUPS:
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    page.keyboard.press("Alt+e")  # opens every group
    for stage in (*STAGE_NAMES, "champion"):
        expect(page.locator("svg").get_by_text(stage, exact=True).first).to_be_visible()


def test_a_partition_is_materialized_by_clicking_and_leads_to_its_mlflow_run(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dagster}/assets/raw_data?view=partitions")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog").filter(has_text="Launch runs to materialize")
    dialog.get_by_text("Select a partition or create one").click()
    page.get_by_role("menuitem").filter(has_text=RECIPE).click()
    dialog.get_by_text("Launch runs to materialize").click()  # closes the list of partitions
    dialog.get_by_role("button", name="Launch 1 run").click()
    page.get_by_role("link", name=re.compile("View")).first.click()
    wait_until_run_ends_well(page)
    page.goto(f"{servers.dagster}/assets/raw_data?view=partitions&partition={RECIPE}")
    with page.context.expect_page() as opened:
        page.locator("a[href*='/#/experiments/']").first.click()
    run = opened.value
    assert run.url.startswith(servers.mlflow)
    expect(run.get_by_text("raw_data").first).to_be_visible()
    expect(run.get_by_text("num_interactions").first).to_be_visible()


def test_the_report_is_opened_from_its_materialization(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dagster}/assets/evaluation_reports?view=partitions&partition={RECIPE}")
    link = page.locator("a[href*='/artifacts/report.html']").first
    expect(link).to_be_visible()
    # It was made by a run at the terminal, for the port that MLflow has without a test.
    origin, _, place = str(link.get_attribute("href")).partition("/#/")
    assert origin == "http://127.0.0.1:5000"
    page.goto(f"{servers.mlflow}/#/{place}")
    report = page.frame_locator("iframe")
    expect(report.get_by_role("heading", level=1)).to_contain_text(RECIPE)
    report.get_by_label("Agent").first.select_option("grpo_model")
    expect(report.locator("#filter-count")).to_have_text(re.compile(r"^\d+ episodes$"))


def open_pipelines(page: Page) -> None:
    """Show the runs of the stages below each run of a pipeline."""
    pipelines = page.locator("[role=row]").filter(has_text="pipeline")
    expect(pipelines.first).to_be_visible()
    for place in reversed(range(pipelines.count())):
        pipelines.nth(place).get_by_role("button").first.click()


def test_two_runs_are_compared_in_mlflow(page: Page, servers: Servers) -> None:
    page.goto(servers.mlflow)
    page.get_by_text("Model training", exact=True).first.click()
    page.get_by_role("link", name=RECIPE, exact=True).first.click()
    open_pipelines(page)
    for stage in ("sft_checkpoint", "grpo_model"):
        page.locator("[role=row]").filter(has_text=stage).get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Compare").first.click()
    expect(page.get_by_text("Comparing 2 Runs from 1 Experiment")).to_be_visible()
    metrics = page.get_by_role("combobox").nth(1)  # of the drawing; the first one chooses its parameters
    metrics.click()
    metrics.fill("loss")
    page.get_by_title("loss", exact=True).first.click()
    for told in ("sft_checkpoint", "grpo_model", "agent.loop", "loss"):
        expect(page.get_by_text(told, exact=True).first).to_be_attached()


def test_a_trace_of_an_episode_is_opened_from_the_run_of_its_evaluation(page: Page, servers: Servers) -> None:
    client = MlflowClient(tracking_uri=store_uri(servers.project.root))
    experiment = client.get_experiment_by_name(RECIPE)
    assert experiment is not None
    [run] = client.search_runs([experiment.experiment_id], filter_string="tags.stage = 'evaluation_reports'")
    page.goto(f"{servers.mlflow}/#/experiments/{experiment.experiment_id}/runs/{run.info.run_id}/traces")
    expect(page.get_by_text("8 of 8")).to_be_visible()  # two episodes of each of four policies
    page.get_by_text(re.compile("^Rank the .* candidates")).first.click()
    trace = page.get_by_role("dialog")
    for told in ("turn", "System", "sample_id"):
        expect(trace.get_by_text(told, exact=True).first).to_be_visible()


def test_a_trial_is_started_from_the_launchpad_and_seen_on_its_asset(page: Page, servers: Servers) -> None:
    page.goto(f"{servers.dagster}/locations/jobs.definitions/jobs/trial/playground")
    editor = page.locator(".CodeMirror").first
    editor.click()
    page.keyboard.press("ControlOrMeta+A")
    config = {
        "recipe": RECIPE,
        "overrides": {"validated_splits.candidates.num_candidates": 5},
        "through": "validated_splits",
    }
    page.evaluate("([editor, text]) => editor.CodeMirror.setValue(text)", [editor.element_handle(), json.dumps(config)])
    page.get_by_role("button", name="Launch Run").click()
    wait_until_run_ends_well(page)
    page.goto(f"{servers.dagster}/assets/validated_splits?view=events&partition={RECIPE}")
    expect(page.get_by_text("Observed", exact=False).first).to_be_visible()
