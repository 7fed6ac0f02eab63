"""The manager's pages with real builds, real matchers behind them, in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from browsing import watched
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
)
from managers import Manager, managers
from matchers import matchers
from pages import QUICK, gallery
from playwright.sync_api import Browser, Page, expect

expect.set_options(timeout=30_000)  # a machine that may be busy

BUILD_MS = 150_000


@pytest.fixture
def manager(redis_url: str, tmp_path: Path) -> Iterator[Manager]:
    """A manager that asks for tokens, with a matcher beside it."""
    gallery(tmp_path / "lists", 1_500, "staff.npy")
    gallery(tmp_path / "lists", 20_000, "crowd.npy")
    guarded = {"LIM_HTTP__TOKEN": TOKEN, "LIM_HTTP__READ_TOKEN": READ, "LIM_BUILD__RECIPE": "exact"}
    with matchers(tmp_path, redis_url) as serving, managers(tmp_path, redis_url, 0, **guarded) as group:
        serving.start()
        yield group.start()


@pytest.mark.drill
@pytest.mark.timeout(400)
def test_what_a_person_does(browser: Browser, manager: Manager) -> None:
    """One story, since each part needs what the one before left: builds take seconds."""
    person = browser.new_context(base_url=manager.url, viewport=WIDE)
    page = person.new_page()
    complaints = watched(page)
    logs_in(page)
    submits_with_a_mistake(page)
    sees_it_published(page)
    sees_who_holds_it(page)
    builds_it_anew(page)
    compares(page)
    rolls_back(page)
    deletes(page)
    cancels_and_tries_again(page)
    assert complaints == []
    cookies = person.storage_state()
    small = browser.new_context(base_url=manager.url, viewport=NARROW, color_scheme="dark", storage_state=cookies)
    reads_on_a_telephone_in_the_dark(small.new_page())
    plain = browser.new_context(base_url=manager.url, java_script_enabled=False, storage_state=cookies)
    follows_without_javascript(plain.new_page())
    only_reads(browser.new_context(base_url=manager.url).new_page())
    page.goto("/")
    manager.child.stop()
    expect(page.get_by_text("The manager does not answer")).to_be_visible()


def submits_with_a_mistake(page: Page) -> None:
    page.get_by_role("navigation", name="Manager").get_by_role("link", name="Submit").click()
    page.get_by_label("Label").fill("staff")
    page.get_by_label("Options").fill("build.sede=2")
    page.get_by_label("Priority").fill("soon")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("#refused")).to_be_focused()
    expect(page.locator("#options-wrong")).to_contain_text("did you mean build.seed?")
    expect(page.get_by_label("Priority")).to_have_accessible_description(re.compile("expected a whole number"))
    page.get_by_label("Options").fill(QUICK)
    page.get_by_label("Priority").fill("2")
    page.get_by_label("Your name").fill("Ada")
    page.get_by_role("button", name="Submit").click()
    page.wait_for_url("**/builds/*")


def sees_it_published(page: Page) -> None:
    """The page brings itself up to date, and a screen reader is told."""
    expect(page.locator("h1 .state")).to_have_text("building", timeout=60_000)
    expect(page.locator("h1 .state")).to_have_text("published", timeout=BUILD_MS)
    expect(page.locator("#said")).to_have_text("staff: published")
    expect(page.get_by_role("button", name="Cancel this build")).to_have_count(0)
    expect(page.get_by_text("by Ada")).to_be_visible()
    page.get_by_role("link", name="What was measured").click()
    expect(page.get_by_role("heading", name="Key figures")).to_be_visible()
    expect(page.locator("canvas").first).to_be_attached()  # its pictures are drawn
    page.go_back()


def sees_who_holds_it(page: Page) -> None:
    page.locator("#to-label").click()
    expect(page.locator("tr.serves .state")).to_have_text("serves", timeout=60_000)
    expect(page.locator("tr.serves")).not_to_contain_text("nobody")
    page.goto("/")
    expect(page.get_by_text("Nothing needs attention.")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("table", name="Matchers that announce themselves")).to_contain_text("s ago")


def builds_it_anew(page: Page) -> None:
    page.goto("/labels/staff")
    page.get_by_role("link", name="Build it anew").click()
    page.get_by_label("Options").fill(QUICK)
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert")).to_contain_text("holds this content already")
    page.get_by_label("Options").fill(f"{QUICK}\nbuild.seed=7")
    page.get_by_role("button", name="Submit").click()
    expect(page.locator("h1 .state")).to_have_text("published", timeout=BUILD_MS)


def rolls_back(page: Page) -> None:
    page.goto("/labels/staff")
    expect(page.locator("tr.serves .state")).to_have_text("serves", timeout=60_000)
    page.get_by_role("link", name="Roll back").click()
    expect(page.get_by_role("heading", name="Roll staff back to this version?")).to_be_visible()
    page.get_by_role("button", name="Roll back").click()
    expect(page.get_by_text("The head has moved")).to_be_visible()
    expect(page.get_by_role("link", name="Roll forward")).to_be_visible()
    expect(page.locator("table.versions tbody tr").nth(1)).to_have_class(re.compile("serves"))
    expect(page.locator("tr.serves .state")).to_have_text("serves", timeout=60_000)


def deletes(page: Page) -> None:
    """The button appears by itself when no matcher holds the version any more."""
    page.get_by_role("link", name="Delete").click(timeout=60_000)
    expect(page.get_by_text("nothing brings them back but a new build")).to_be_visible()
    page.get_by_role("button", name="Delete it for good").click()
    expect(page.get_by_text("The version was deleted.")).to_be_visible()
    expect(page.locator("table.versions tbody tr")).to_have_count(1)


def cancels_and_tries_again(page: Page) -> None:
    page.goto("/submit?label=crowd")
    page.get_by_label("Options").fill("build.partition_rows=20")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("progressbar")).to_be_visible(timeout=60_000)
    expect(page.get_by_role("listitem").filter(has_text="under way")).to_be_visible()
    page.get_by_role("button", name="Cancel this build").click()
    expect(page.locator("h1 .state")).to_have_text("cancelled", timeout=60_000)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("h1 .state")).to_have_text(re.compile("waiting|building"))
    page.get_by_role("button", name="Cancel this build").click()
    expect(page.locator("h1 .state")).to_have_text("cancelled", timeout=60_000)
    page.goto("/builds")
    page.get_by_label("State").select_option("cancelled")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("tbody tr:not(.why)")).to_have_count(1)
