"""The Dagster page as a person sees it, in headless Chromium: "Materialize all", the run, what the assets show.

This file comes before the others that use the platform: nothing has landed since its loop closed, so the adapter that is
there is reused and the run takes a minute.
"""

from __future__ import annotations

import time

import pytest
from playwright.sync_api import Page, expect

from correctly_tests.integration.conftest import Platform, graphql

pytestmark = [pytest.mark.model, pytest.mark.timeout(1800)]

RUNS = "{ runsOrError(limit: 5) { ... on Runs { results { runId status tags { key value } } } } }"

ASSETS = {"examples", "train_set", "lora_adapter", "eval_report", "served_model"}
MADE = '{ runOrError(runId: "%s") { ... on Run { assetMaterializations { assetKey { path } } } } }'
BY_HAND = """mutation { launchRun(executionParams: {selector: {repositoryLocationName: "correctly",
  repositoryName: "__repository__", pipelineName: "retrain"}}) { __typename ... on PythonError { message } } }"""
"""What the Launchpad of the job `retrain` sends: the five assets of the loop, without the full report."""


def test_materialize_all_runs_the_five_assets_end_to_end(platform: Platform, page: Page):
    adapter = platform.status()["champion"]["adapter"]
    assert graphql(platform, BY_HAND)["launchRun"]["__typename"] == "LaunchRunSuccess"
    deadline = time.monotonic() + 600
    while True:
        runs = graphql(platform, RUNS)["runsOrError"]["results"]
        by_hand = [run for run in runs if not any(tag["key"] == "correctly/why" for tag in run["tags"])]
        if by_hand and by_hand[0]["status"] in ("SUCCESS", "FAILURE", "CANCELED"):
            break
        assert time.monotonic() < deadline, runs
        time.sleep(1)
    assert by_hand[0]["status"] == "SUCCESS"
    # The run's page names only the steps that its time line has room for, so what was made is asked for.
    made = graphql(platform, MADE % by_hand[0]["runId"])["runOrError"]["assetMaterializations"]
    assert {item["assetKey"]["path"][-1] for item in made} == ASSETS
    page.goto(f"{platform.url('DAGSTER')}/runs/{by_hand[0]['runId']}")
    expect(page.get_by_text("5 assets", exact=True).first).to_be_visible()
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()
    # Nothing new had landed: the same adapter serves, and nothing was trained again.
    assert platform.status()["champion"]["adapter"] == adapter


def test_the_assets_pages_show_pairs_a_loss_curve_and_the_verdict(platform: Platform, page: Page):
    def open_page(asset: str, view: str = "overview") -> None:
        page.goto(f"{platform.url('DAGSTER')}/assets/{asset}?view={view}")

    open_page("eval_report")
    # Plain numbers, which plot over time, and the whole report a click away.
    expect(page.get_by_text("overcorrected", exact=True).first).to_be_visible()
    page.get_by_text("[Show Markdown]").first.click()
    report = page.get_by_role("dialog")
    expect(report).to_contain_text("may serve")
    expect(report).to_contain_text("untouched")
    expect(report).to_contain_text("Correct sentences it changed")
    open_page("eval_report", "checks")
    expect(page.get_by_text("the_gate").first).to_be_visible()
    open_page("lora_adapter")
    expect(page.get_by_text("A LoRA adapter of the base model", exact=False).first).to_be_visible()
    page.get_by_text("[Show Markdown]").first.click()
    expect(page.get_by_role("dialog").locator("img[alt=loss]")).to_be_visible()
    open_page("train_set")
    expect(page.get_by_text("rejected_because", exact=True).first).to_be_visible()
    expect(page.get_by_text("injected", exact=True).first).to_be_visible()
