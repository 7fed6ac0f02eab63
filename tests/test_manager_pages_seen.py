"""The manager's pages as a person sees them, in a real Chromium: submit, watch, cancel, compare, roll back, read only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browsing import watched
from manager_pages import World, shown
from manager_person import (
    NARROW,
    READ,
    TOKEN,
    WIDE,
    compares,
    follows_without_javascript,
    logs_in,
    only_reads,
    reads_on_a_telephone_in_the_dark,
)  # fmt: skip
from playwright.sync_api import Browser, Page, expect

from configs.settings import Build, Quality, Settings, Storage
from pipeline.artifact import read_head
from pipeline.build import build
from pipeline.generate.faces import Generator
from pipeline.order import Order
from pipeline.progress import Lines
from pipeline.stage import serial

expect.set_options(timeout=30_000)  # a machine that may be busy


@pytest.fixture
def world(browser: Browser, redis_url: str, tmp_path: Path) -> Iterator[World]:
    """A manager that asks for tokens, over a label with two versions; nothing builds, so that a test moves the tasks."""
    published(tmp_path)
    with shown(redis_url, tmp_path, token=TOKEN, read_token=READ) as found:
        yield found


def published(folder: Path) -> None:
    """Two builds of the label `staff` in the folder's bucket, the second of more people."""
    rows = Generator("mixture", 3).chunk(0, 1_200)[0]
    settings = Settings(
        storage=Storage(bucket=str(folder / "bucket")), build=Build(recipe="exact", partition_rows=1_500, sample_rows=1_000),
        quality=Quality(mated_probes=400, non_mates=300, added_fnir=0.01),
    )  # fmt: skip
    for count in (1_000, 1_200):
        np.save(folder / f"{count}.npy", rows[:count])
        build(Order(str(folder / f"{count}.npy"), "staff"), settings, lambda: serial, Lines())


@pytest.mark.timeout(200)
def test_what_a_person_does(browser: Browser, world: World) -> None:
    """One story in one browser, whose start takes longest."""
    person = browser.new_context(base_url=world.url, viewport=WIDE)
    page = person.new_page()
    complaints = watched(page)
    logs_in(page)
    submits_after_a_mistake(page, world)
    watches_the_build(page, world)
    cancels(page, world)
    compares(page)
    rolls_back(page, world)
    deletes(page, world)
    assert complaints == []
    cookies = person.storage_state()
    small = browser.new_context(base_url=world.url, viewport=NARROW, color_scheme="dark", storage_state=cookies)
    reads_on_a_telephone_in_the_dark(small.new_page())
    plain = browser.new_context(base_url=world.url, java_script_enabled=False, storage_state=cookies)
    follows_without_javascript(plain.new_page())
    only_reads(browser.new_context(base_url=world.url).new_page())


def submits_after_a_mistake(page: Page, world: World) -> None:
    page.get_by_role("navigation", name="Manager").get_by_role("link", name="Submit").click()
    page.get_by_label("Label").fill("visitors")
    page.get_by_label("Source").fill(str(world.folder / "1000.npy"))
    page.get_by_label("Options").fill("build.sede=2")
    page.get_by_label("Priority").fill("soon")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#refused")).to_be_focused()
    expect(page.locator("#options-wrong")).to_contain_text("did you mean build.seed?")
    expect(page.get_by_label("Priority")).to_have_accessible_description(re.compile("expected a whole number"))
    page.get_by_label("Options").fill("build.seed=2")
    page.get_by_label("Priority").fill("2")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/builds/*")
    expect(page.get_by_text("Waiting for its turn: next.")).to_be_visible()


def watches_the_build(page: Page, world: World) -> None:
    """The page follows by itself, says so to a screen reader, and leaves what is being typed alone."""
    page.get_by_label("Priority").fill("17")
    task = world.claim()
    world.tell(task, stage="encode", items=40, finished=10, rows_per_s=5e4, eta_s=83.0)
    expect(page.get_by_text("10 of 40 items, 50,000 rows/s, 1 min 23 s left in this stage")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_attribute("value", "10")
    expect(page.get_by_role("listitem").filter(has_text="under way")).to_have_attribute("aria-current", "step")
    expect(page.locator("#said")).to_have_text("visitors: building, encode")
    assert page.get_by_label("Priority").input_value() == "17"
    page.get_by_role("button", name="Set").click()
    expect(page.get_by_label("Priority")).to_have_value("17")
    page.goto("/")
    expect(page.get_by_role("table", name="Builds that run or are next")).to_contain_text("encode")
    page.get_by_role("link", name="visitors").click()


def cancels(page: Page, world: World) -> None:
    page.get_by_role("button", name="Cancel this build").click()
    expect(page.get_by_text("It is being ended.")).to_be_visible()
    (task,) = world.do(world.parts.tasks.adopt(2))
    world.do(world.parts.tasks.cancelled(task.task_id, 2))
    expect(page.locator("h1 .state")).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Cancel this build")).to_have_count(0)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("Waiting for its turn: next.")).to_be_visible()
    page.goto("/builds")
    page.get_by_label("State").select_option("pending")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("link", name="visitors")).to_be_visible()


def rolls_back(page: Page, world: World) -> None:
    head = read_head(world.store, "staff")[0]
    world.announce("matcher-1", {"staff": head.index_id})
    page.goto("/labels/staff")
    expect(page.locator("tr.serves .state")).to_have_text("serves")
    page.get_by_role("link", name="Roll back").click()
    expect(page.get_by_role("heading", name="Roll staff back to this version?")).to_be_visible()
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("The head has moved")).to_be_visible()
    expect(page.locator("tr.serves .state")).to_have_text("to serve")
    assert read_head(world.store, "staff")[0].index_id == head.previous[0]
    expect(page.get_by_role("link", name="Delete")).to_have_count(0)
    world.announce("matcher-1", {"staff": head.previous[0]})
    expect(page.locator("tr.serves .state")).to_have_text("serves")
    expect(page.locator("tr.serves")).to_contain_text("matcher-1")


def deletes(page: Page, world: World) -> None:
    """The button appears by itself when no matcher holds the version any more."""
    page.get_by_role("link", name="Delete").click()
    expect(page.get_by_text("nothing brings them back but a new build")).to_be_visible()
    page.get_by_role("button", name="Delete it for good").click()
    expect(page.get_by_text("The version was deleted.")).to_be_visible()
    expect(page.locator("table.versions tbody tr")).to_have_count(1)
